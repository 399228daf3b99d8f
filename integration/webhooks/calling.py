"""One call to an address that somebody typed in.

The name is resolved once, every address it has is checked, and the connection goes to one of those very
addresses, with the name only in TLS and in the header `Host`: a second answer of the resolver is never asked
for. A redirect is an answer like any other. Of the answer a little is read, within a time for all of it.
"""

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import h11

from integration.webhooks.addresses import is_loopback, is_public
from write_model.values.web_address import WebAddress

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Every address of a name, in the order in which they should be tried; raises OSError."""

TOTAL_SECONDS: Final = 12.0
_RESOLVE_SECONDS: Final = 4.0
_CONNECT_SECONDS: Final = 4.0
_BODY_SECONDS: Final = 1.0
_ADDRESSES_MAX: Final = 3
_HEAD_BYTES_MAX: Final = 16_384
# Also of interim answers, of which there may be any number.
_READ_BYTES_MAX: Final = 65_536
_SNIPPET_BYTES: Final = 1_024
_CHUNK_BYTES: Final = 4_096
_AGENT: Final = "CCONTROL-M-Webhooks/1"


class CallFailed(Exception):
    """There is no answer. `kind` is one word of a few, fit to be counted and shown."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the beginning of the body, and when to come back if it says so."""

    status: int
    snippet: bytes
    retry_after: str | None


class Caller:
    """Calls; made once per process. `resolve` is the machine's own unless a test says otherwise."""

    def __init__(
        self,
        *,
        resolve: Resolve | None = None,
        trust: ssl.SSLContext | None = None,
        loopback_allowed: bool = False,
        total_seconds: float = TOTAL_SECONDS,
        threads: int = 64,
    ) -> None:
        # Of its own: a resolver that hangs must not keep others from theirs.
        self._threads = ThreadPoolExecutor(threads, "webhook-names")
        self._resolve = resolve or self._ask_system
        self._trust = trust or ssl.create_default_context()
        self._trust.minimum_version = ssl.TLSVersion.TLSv1_2
        self._loopback_allowed = loopback_allowed
        self._total_seconds = total_seconds

    def close(self) -> None:
        """Wait for nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def post(self, address: WebAddress, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a body there; raises CallFailed."""
        writer: StreamWriter | None = None
        try:
            async with asyncio.timeout(self._total_seconds):
                reader, writer = await self._connected(address, await self._checked(address))
                reading = await _sent(reader, writer, _request(address, headers, body), body)
                response = await reading.response()
            return _answer(response, await reading.beginning())
        except TimeoutError as error:
            raise CallFailed("timeout") from error
        except h11.RemoteProtocolError as error:
            raise CallFailed("bad-answer") from error
        except ssl.SSLError as error:
            raise CallFailed("tls") from error
        except OSError as error:
            raise CallFailed("connection-lost") from error
        finally:
            if writer is not None:
                # Not closed in good order: whoever is slow to say goodbye is not waited for.
                writer.transport.abort()

    async def _checked(self, address: WebAddress) -> Sequence[str]:
        """The addresses of a name, unless one of them must not be called: then none is."""
        if address.scheme != "https" and not (self._loopback_allowed and address.is_loopback):
            raise CallFailed("address-refused")
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS):
                found = await self._resolve(address.host, address.port)
        except (OSError, UnicodeError) as error:
            raise CallFailed("name-unknown") from error
        if not found:
            raise CallFailed("name-unknown")
        own = self._loopback_allowed and address.is_loopback
        if not all(is_loopback(each) if own else is_public(each) for each in found):
            raise CallFailed("address-refused")
        return found[:_ADDRESSES_MAX]

    async def _connected(
        self, address: WebAddress, found: Sequence[str]
    ) -> tuple[StreamReader, StreamWriter]:
        """A connection to the first of them that takes one."""
        secure = address.scheme == "https"
        for last, ip in enumerate(found, 1 - len(found)):
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    return await asyncio.open_connection(
                        ip,
                        address.port,
                        ssl=self._trust if secure else None,
                        server_hostname=address.host if secure else None,
                        limit=_CHUNK_BYTES,
                        # An address, and nothing that could be resolved again.
                        flags=socket.AI_NUMERICHOST,
                    )
            except (ssl.SSLCertVerificationError, ssl.CertificateError) as error:
                raise CallFailed("certificate") from error
            except ssl.SSLError as error:
                raise CallFailed("tls") from error
            except TimeoutError as error:
                if last == 0:
                    raise CallFailed("timeout") from error
            except OSError as error:
                if last == 0:
                    raise CallFailed("connection-refused") from error
        raise CallFailed("name-unknown")

    async def _ask_system(self, host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _request(address: WebAddress, headers: Mapping[str, str], body: bytes) -> h11.Request:
    told = {
        "Host": address.authority,
        "User-Agent": _AGENT,
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    return h11.Request(method="POST", target=address.target, headers=list(told.items()))


async def _sent(reader: StreamReader, writer: StreamWriter, request: h11.Request, body: bytes) -> "_Reading":
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES_MAX)
    for part in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    # It may have answered before it had read everything, and closed.
    with suppress(ConnectionError):
        await writer.drain()
    return _Reading(reader, connection)


def _answer(response: h11.Response, snippet: bytes) -> Answer:
    asked = next((value for name, value in response.headers if name == b"retry-after"), None)
    return Answer(response.status_code, snippet, None if asked is None else asked.decode("latin-1"))


class _Reading:
    """The answer, event by event, and never more of it than is wanted."""

    def __init__(self, reader: StreamReader, connection: h11.Connection) -> None:
        self._reader = reader
        self._connection = connection
        self._left = _READ_BYTES_MAX

    async def response(self) -> h11.Response:
        """The head of the final answer."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise CallFailed("bad-answer")

    async def beginning(self) -> bytes:
        """A little of the body. The status is the answer: who never ends, or breaks off, has answered."""
        found = bytearray()
        with suppress(TimeoutError, OSError, h11.RemoteProtocolError, CallFailed):
            async with asyncio.timeout(_BODY_SECONDS):
                while len(found) < _SNIPPET_BYTES and isinstance(event := await self._next(), h11.Data):
                    found += event.data
        return bytes(found[:_SNIPPET_BYTES])

    async def _next(self) -> object:
        while True:
            event = self._connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._left <= 0:
                raise CallFailed("answer-too-long")
            received = await self._reader.read(min(_CHUNK_BYTES, self._left))
            self._left -= len(received)
            self._connection.receive_data(received)
