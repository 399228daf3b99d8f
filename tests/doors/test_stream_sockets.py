"""Streams over real sockets: what the server's own buffers, and a client that is simply gone, do to them."""

import asyncio
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import uvicorn
from prometheus_client import REGISTRY

from api.event_stream import Pace, Streams
from runtime.api_process import listening_socket
from runtime.http_server import HttpServer
from tests.doors.house import House, move_in, open_house

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

_PATIENCE_SECONDS = 60.0


class Wire:
    """A client of HTTP/1.1 that does as it is told with its socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def ask(cls, port: int, path: str, headers: dict[str, str]) -> "Wire":
        """Send a question, and read nothing yet."""
        wire = cls(*await asyncio.open_connection("127.0.0.1", port))
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: doors",
            *(f"{name}: {text}" for name, text in headers.items()),
        ]
        wire._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        return wire

    async def until(self, pattern: str) -> re.Match[str]:
        """Read up to a line that is this."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while line := (await self._reader.readline()).decode():
                if found := re.fullmatch(pattern, line.strip()):
                    return found
        raise AssertionError(f"ended without {pattern}")

    async def changes(self, count: int) -> list[str]:
        """The ids of so many things that changed; the last event's id is kept."""
        found: list[str] = []
        while len(found) < count:
            self.last = (await self.until(r"id: (\S+)"))[1]
            data = await self.until(r'data: (?:.*"id":"(prd_\w+)".*|.*)')
            found += [data[1]] if data[1] else []
        return found

    async def rest(self) -> bytes:
        """Whatever comes up to the end."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await self._reader.read()

    def leave(self) -> None:
        """Without a word: a reset, as of a process that was killed."""
        self._writer.transport.abort()


class Served:
    """An application behind uvicorn, on a socket like that of an API process."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self.port = port
        self._server = server

    @property
    def connections(self) -> int:
        """How many the server has."""
        return len(self._server.server_state.connections)


@asynccontextmanager
async def served(app: Any, *, silence_seconds: float = 30.0) -> AsyncIterator[Served]:
    listening = listening_socket("127.0.0.1", 0, silence_seconds=silence_seconds)
    server = HttpServer(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=10))
    serving = asyncio.create_task(server._serve([listening]))
    await until(lambda: server.started)
    try:
        yield Served(server, listening.getsockname()[1])
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, _PATIENCE_SECONDS)


async def until(true: Any) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not true():  # noqa: ASYNC110 - sockets set no event
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def building(module_database_url: str, module_redis_url: str) -> AsyncIterator[House]:
    async with open_house(module_database_url, module_redis_url, pace=Pace(heartbeat_seconds=0.5)) as house:
        yield house


@pytest_asyncio.fixture(loop_scope="module")
async def house(building: House) -> House:
    return await move_in(building)


@pytest_asyncio.fixture(loop_scope="module")
async def server(house: House) -> AsyncIterator[Served]:
    async with served(house.app) as found:
        yield found


async def make(house: House, count: int) -> list[str]:
    made = []
    for _ in range(count):
        answer = await house.post("/v1/products", {"sku": uuid4().hex, "name": "Café"})
        made.append(answer.json()["resource"]["id"])
    return made


async def test_where_nothing_happens_the_heart_beats(house: House, server: Served) -> None:
    wire = await Wire.ask(server.port, "/v1/stream", house.headers())
    await wire.until("event: ready")
    for _ in range(2):
        await wire.until(":")
    wire.leave()


async def test_who_comes_back_over_another_connection_goes_on(house: House, server: Served) -> None:
    wire = await Wire.ask(server.port, "/v1/stream", house.headers())
    await wire.until("event: ready")
    first = await make(house, 3)
    assert await wire.changes(2) == first[:2]
    last = wire.last
    wire.leave()
    second = await make(house, 2)
    again = await Wire.ask(server.port, "/v1/stream", house.headers(Last_Event_ID=last))
    assert await again.changes(3) == [first[2], *second]
    again.leave()


async def test_nothing_is_left_of_who_left(house: House, server: Served) -> None:
    def streams_open() -> float | None:
        return REGISTRY.get_sample_value("ccontrol_streams_open")

    live, before = house.app.state.live, len(asyncio.all_tasks())
    wires = [await Wire.ask(server.port, "/v1/stream", house.headers()) for _ in range(5)]
    for wire in wires:
        await wire.until("event: ready")
    assert (streams_open(), server.connections, len(live._followers)) == (5, 5, 1)
    for wire in wires:
        wire.leave()
    await until(lambda: (streams_open(), server.connections, live._followers) == (0, 0, {}))
    await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_who_takes_nothing_is_let_go_and_its_socket_too() -> None:
    """By the program, and by the system: a buffer that is never taken holds a socket."""
    told: list[str] = []

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield bytes(1 << 16)
        finally:
            told.append("released")

    streams = Streams(Pace(patience_seconds=0.3))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await streams.answer(events())(scope, receive, send)

    async with served(app, silence_seconds=1.0) as server:
        wire = await Wire.ask(server.port, "/", {})
        # It reads nothing: asyncio would go on reading by itself.
        transport: Any = wire._writer.transport
        transport.pause_reading()
        await until(lambda: told == ["released"])
        await until(lambda: server.connections == 0)
        wire.leave()


async def test_a_process_that_ends_ends_its_streams() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield b"event: ready\n\n"
        await asyncio.Event().wait()

    streams = Streams(Pace())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await streams.answer(events())(scope, receive, send)

    async with served(app) as server:
        wire = await Wire.ask(server.port, "/", {})
        await wire.until("event: ready")
        streams.close()
        # A whole answer, with its end: the client knows that it may come back.
        assert (await wire.rest()).endswith(b"0\r\n\r\n")
        late = await Wire.ask(server.port, "/", {})
        assert (await late.rest()).endswith(b"0\r\n\r\n")
        for each in (wire, late):
            each.leave()


async def test_whoever_is_let_in_is_watched_by_the_system() -> None:
    with listening_socket("127.0.0.1", 0, silence_seconds=6.0) as listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 6_000
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 3
