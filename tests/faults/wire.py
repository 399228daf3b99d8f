"""Where requests and answers end on the wire: PostgreSQL's protocol 3, and HTTP as our client speaks it."""

import struct
from collections.abc import Iterator
from typing import Protocol

Request = tuple[str | None, bytes]
"""What it asks (None: not a request, pass it on) and its bytes."""

_CODE = struct.Struct("!ii")
_LENGTH = struct.Struct("!i")
_PROTOCOL_3 = 196608
_SSL, _GSS = 80877103, 80877104


class Framing(Protocol):
    """Of one connection."""

    def requests(self, chunk: bytes) -> Iterator[Request]:
        """The requests that these bytes from the client complete."""
        ...

    def completes(self, chunk: bytes) -> bool:
        """Whether these bytes from the server are the end of an answer."""
        ...


class PostgresFraming:
    """A request is what ends in Sync, or a simple query; it is named by its SQL, also when prepared."""

    def __init__(self) -> None:
        self._kept = b""
        self._pending = b""
        self._name: str | None = None
        self._started = False
        self._statements: dict[bytes, str] = {}
        self._answer = b""

    def requests(self, chunk: bytes) -> Iterator[Request]:
        """Whole units only; the rest is kept."""
        self._kept += chunk
        while not self._started:
            first = self._first()
            if first is None:
                return
            yield None, first
        while len(self._kept) >= 5:
            end = 1 + _LENGTH.unpack_from(self._kept, 1)[0]
            if len(self._kept) < end:
                return
            message, self._kept = self._kept[:end], self._kept[end:]
            self._pending += message
            self._learn(message)
            # Passwords and the farewell go on at once; nobody waits for an answer that could be cut.
            if message[:1] in b"SQpX":
                name, request = self._name, self._pending
                self._name, self._pending = None, b""
                yield name, request

    def _first(self) -> bytes | None:
        """What comes before the protocol proper: the start, a request for encryption or for a cancel."""
        if len(self._kept) < 8:
            return None
        length, code = _CODE.unpack_from(self._kept)
        if len(self._kept) < length:
            return None
        message, self._kept = self._kept[:length], self._kept[length:]
        self._started = code not in (_SSL, _GSS)
        return message

    def _learn(self, message: bytes) -> None:
        kind, body = message[:1], message[5:]
        if kind == b"P":
            name, _, rest = body.partition(b"\0")
            self._statements[name] = rest.partition(b"\0")[0].decode()
        elif kind == b"B":
            _, _, rest = body.partition(b"\0")
            self._name = self._statements.get(rest.partition(b"\0")[0])
        elif kind == b"Q":
            self._name = body.rstrip(b"\0").decode()

    def completes(self, chunk: bytes) -> bool:
        """ReadyForQuery: after that whatever was asked is committed."""
        self._answer += chunk
        complete = False
        while self._answer[:1] in (b"N", b"S") and not self._started:
            self._answer = self._answer[1:]  # the one byte that answers a request for encryption
        while len(self._answer) >= 5:
            end = 1 + _LENGTH.unpack_from(self._answer, 1)[0]
            if len(self._answer) < end:
                break
            complete = complete or self._answer[:1] == b"Z"
            self._answer = self._answer[end:]
        return complete


class HttpFraming:
    """Our client sends a request in one piece, one at a time; what begins to come back is the answer."""

    def requests(self, chunk: bytes) -> Iterator[Request]:
        """Named by its first line."""
        yield chunk.partition(b"\r\n")[0].decode("latin-1"), chunk

    def completes(self, chunk: bytes) -> bool:
        """The server has decided."""
        return True


def error_response(sqlstate: str) -> bytes:
    """What PostgreSQL would say, with this state, and that it is ready for more."""
    fields = f"SERROR\0VERROR\0C{sqlstate}\0Mmade up by a test\0\0".encode()
    return b"E" + _LENGTH.pack(4 + len(fields)) + fields + b"Z" + _LENGTH.pack(5) + b"I"
