"""A client that costs little: requests as bytes over connections that stay open.

An ordinary client library needs more of the processor for a request than the server does, and would be what
is measured.
"""

import asyncio
from collections.abc import Sequence


class Connection(asyncio.Protocol):
    """One connection, one request at a time; a new one when the server hung up on an idle one."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Connect."""
        made = cls(host, port)
        await made._connect()
        return made

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, *self._address)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect one whole answer; every answer here says how long it is."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or self._answer is None:
            return
        _, _, length = head.lower().partition(b"content-length: ")
        if len(body) >= int(length.partition(b"\r\n")[0]):
            answer, self._answer, self._received = self._answer, None, b""
            answer.set_result(head[9:12] + body)

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits hears of it."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; status and body of its answer."""
        if self.is_closed():
            await self._connect()
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        answer = await self._answer
        return int(answer[:3]), answer[3:]

    def is_closed(self) -> bool:
        """Whether the server has hung up."""
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        """Disconnect."""
        if self._transport is not None:
            self._transport.close()


def request(path: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """A POST of JSON."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
