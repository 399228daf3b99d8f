"""Who comes with a new connection waits no longer than who has one."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
import uvloop

from runtime.http_server import HttpServer

_VISITORS = 60


async def greet(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@asynccontextmanager
async def serving(listening: socket.socket) -> AsyncIterator[HttpServer]:
    server = HttpServer(uvicorn.Config(greet, lifespan="off", log_config=None))
    running = asyncio.create_task(server._serve([listening]))
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.001)
    try:
        yield server
    finally:
        server.should_exit = True
        await running


def at_the_door(listening: socket.socket) -> socket.socket:
    """Connected as far as the system is concerned; nobody has opened yet."""
    return socket.create_connection(listening.getsockname())


def test_all_who_wait_are_let_in_at_once() -> None:
    async def run() -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            async with serving(listening) as server:
                with ExitStack() as visitors:
                    for _ in range(_VISITORS):
                        visitors.enter_context(at_the_door(listening))
                    # A few turns: seen by the loop, accepted, given a protocol.
                    for _ in range(5):
                        await asyncio.sleep(0)
                    assert len(server.server_state.connections) == _VISITORS

    # As in production: the loop of the standard library does not have the fault.
    uvloop.run(run())


def test_nobody_is_let_in_after_the_end() -> None:
    async def run() -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            address = listening.getsockname()
            async with serving(listening):
                reader, writer = await asyncio.open_connection(*address)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 204")
            writer.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*address)

    uvloop.run(run())


class Exhausted(socket.socket):
    """The first attempt finds no file descriptor left."""

    refused = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.refused:
            self.refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_who_comes_while_there_are_too_many_waits() -> None:
    async def run() -> None:
        with Exhausted() as listening:
            listening.bind(("127.0.0.1", 0))
            async with serving(listening):
                reader, writer = await asyncio.open_connection(*listening.getsockname())
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                async with asyncio.timeout(20):
                    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 204")
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()
            assert listening.refused == 1

    uvloop.run(run())
