"""A wire that breaks where a test wants it to: stands between a client and its server, on loopback.

It knows where a request ends and where its answer does, so it can cut before the server has heard of a
request, in the middle of it, after the server has done it but before the client hears so, or in the middle of
the answer. A cut is a TCP reset to both sides. Everything else passes unchanged.

proxy = await Proxy.before(url)
proxy.next("append_events", Fault.AFTER)    # or proxy.choose = lambda request: …, asked for every request
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum, auto
from urllib.parse import urlsplit, urlunsplit

from tests.faults.wire import Framing, PostgresFraming, error_response

_LINGER_NOT = struct.pack("ii", 1, 0)
_CHUNK = 1 << 16
_LATE_SECONDS = 0.3


class Fault(Enum):
    """What becomes of one request."""

    BEFORE = auto()
    """Reset; the server never hears of it."""
    HALF = auto()
    """Reset after half of its bytes have reached the server."""
    AFTER = auto()
    """The server does it; reset instead of the answer."""
    HALF_ANSWER = auto()
    """The server does it; reset after half of the answer."""
    SILENCE = auto()
    """Swallowed, and nothing is ever answered: what a firewall does that forgot a connection."""
    SILENCE_AFTER = auto()
    """The server does it, and nothing is ever answered."""
    LATE = auto()
    """The client's connection is reset at once; the server gets the request a while later all the same."""
    HOLD = auto()
    """Kept until `release`."""


Choice = Fault | str | None
"""A fault, a five-character SQLSTATE the server is made to answer with, or None: pass."""


class Proxy:
    """One listening port before one server. All of it lives in the event loop that started it."""

    def __init__(
        self, host: str, port: int, framing: Callable[[], Framing], choose: Callable[[str], Choice]
    ) -> None:
        self.choose = choose
        self.requests: Counter[str] = Counter()
        self.struck: Counter[Choice] = Counter()
        self.port = 0
        self._host, self._server_port = host, port
        self._framing = framing
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._planned: list[tuple[str, Choice]] = []
        self._news = asyncio.Event()
        self._released = asyncio.Event()

    @classmethod
    async def before(
        cls,
        url: str,
        framing: Callable[[], Framing] = PostgresFraming,
        choose: Callable[[str], Choice] = lambda request: None,
    ) -> "Proxy":
        """Listening, before the server this address names."""
        parts = urlsplit(url)
        proxy = cls(parts.hostname or "127.0.0.1", parts.port or 0, framing, choose)
        await proxy.open()
        return proxy

    def url(self, url: str) -> str:
        """The same address, through here."""
        parts = urlsplit(url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}"))

    async def open(self) -> None:
        """Take connections, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """As if there were no server: connections are reset, new ones refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()
        # The listening socket is closed only when the loop has come around.
        await asyncio.sleep(0)

    def reset(self) -> None:
        """Reset every connection there is."""
        for link in list(self._links):
            link.reset()

    async def close(self) -> None:
        """Leave nothing behind."""
        await self.refuse()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def next(self, request: str, *choices: Choice) -> None:
        """The next requests that contain this text meet these, in turn."""
        self._planned += [(request, choice) for choice in choices]

    def release(self) -> None:
        """Let go what is held."""
        self._released.set()
        self._released = asyncio.Event()

    async def has_struck(self, choice: Choice, times: int = 1) -> None:
        """Wait until it has."""
        async with asyncio.timeout(20):
            while self.struck[choice] < times:
                self._news.clear()
                await self._news.wait()

    def _choice(self, request: str) -> Choice:
        self.requests[request] += 1
        for index, (pattern, choice) in enumerate(self._planned):
            if pattern in request:
                del self._planned[index]
                return choice
        return self.choose(request)

    def _strike(self, choice: Choice) -> None:
        self.struck[choice] += 1
        self._news.set()

    def count(self, pattern: str) -> int:
        """How many requests contained this text."""
        return sum(number for request, number in self.requests.items() if pattern in request)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(asyncio.current_task())
        try:
            server = await asyncio.open_connection(self._host, self._server_port)
        except OSError:
            _reset(writer)
            return
        link = _Link(self, self._framing(), (reader, writer), server)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(link.requests())
                tasks.create_task(link.answers())
        except asyncio.CancelledError:
            return  # by `close`; the stream's own callback would report it as a failure
        finally:
            self._links.discard(link)
            link.close()

    def _keep(self, task: "asyncio.Task[None] | None") -> None:
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def deliver_late(self, server: asyncio.StreamWriter, request: bytes) -> None:
        """Hand a request to the server when its client has long given up."""

        async def deliver() -> None:
            await asyncio.sleep(_LATE_SECONDS)
            server.write(request)
            with suppress(OSError):
                await server.drain()
            await asyncio.sleep(_LATE_SECONDS)
            server.close()

        self._keep(asyncio.create_task(deliver()))

    async def until_released(self) -> None:
        """Wait for `release`."""
        await self._released.wait()


class _Link:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(
        self,
        proxy: Proxy,
        framing: Framing,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy, self._framing = proxy, framing
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._answer: Fault | None = None
        self._silent = self._late = False

    async def requests(self) -> None:
        """From the client to the server, each request as it was chosen."""
        with suppress(OSError):
            while chunk := await self._from_client.read(_CHUNK):
                for name, request in self._framing.requests(chunk):
                    if self._silent:
                        continue
                    if not await self._pass_on(name, request):
                        return
                await self._to_server.drain()
        if not self._late and not self._to_server.is_closing():
            self._to_server.close()

    async def _pass_on(self, name: str | None, request: bytes) -> bool:
        """Whether the connection still stands afterwards."""
        if name is None:
            await self._write(request)
            return True
        choice = self._proxy._choice(name)
        match choice:
            case Fault.BEFORE:
                self.reset()
            case Fault.HALF:
                await self._write(request[: len(request) // 2])
                # Or the reset overtakes it and nothing arrives.
                await asyncio.sleep(0.02)
                self.reset()
            case Fault.LATE:
                self._silent = self._late = True
                _reset(self._to_client)
                self._proxy.deliver_late(self._to_server, request)
            case Fault.SILENCE:
                self._silent = True
            case Fault.HOLD:
                self._proxy._strike(choice)
                await self._proxy.until_released()
                await self._write(request)
                return True
            case Fault.AFTER | Fault.HALF_ANSWER | Fault.SILENCE_AFTER:
                self._answer = choice
                await self._write(request)
                return True
            case str():
                self._to_client.write(error_response(choice))
            case None:
                await self._write(request)
                return True
        self._proxy._strike(choice)
        return choice is Fault.SILENCE or isinstance(choice, str)

    async def _write(self, request: bytes) -> None:
        self._to_server.write(request)
        with suppress(OSError):
            await self._to_server.drain()

    async def answers(self) -> None:
        """From the server to the client, unless the answer is not to arrive."""
        held = b""
        with suppress(OSError):
            while chunk := await self._from_server.read(_CHUNK):
                complete = self._framing.completes(chunk)
                fault = self._answer
                if fault is None:
                    if not self._silent:
                        self._to_client.write(chunk)
                        await self._to_client.drain()
                    continue
                held += chunk
                if complete:
                    if fault is Fault.HALF_ANSWER:
                        self._to_client.write(held[: len(held) // 2])
                        await asyncio.sleep(0.02)
                    self._answer, self._silent, held = None, True, b""
                    if fault is not Fault.SILENCE_AFTER:
                        self.reset()
                    self._proxy._strike(fault)
        if not self._silent and not self._to_client.is_closing():
            self._to_client.close()

    def reset(self) -> None:
        """Both ways."""
        _reset(self._to_client)
        _reset(self._to_server)

    def close(self) -> None:
        """Both ways, politely."""
        for writer in (self._to_client, self._to_server):
            with suppress(OSError):
                writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()


def only(pattern: str, choose: Callable[[], Choice]) -> Callable[[str], Choice]:
    """A chooser that leaves other requests alone."""
    return lambda request: choose() if pattern in request else None


CUTS: Iterable[Fault] = (Fault.BEFORE, Fault.HALF, Fault.AFTER, Fault.HALF_ANSWER, Fault.LATE)
"""The faults a client notices at once."""
