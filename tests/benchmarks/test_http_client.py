"""The client of the benchmark never waits for an answer that cannot come."""

import asyncio

import pytest

from benchmarks.http_client import Connection, request

pytestmark = pytest.mark.asyncio


async def test_a_server_that_hung_up_on_an_idle_connection_is_asked_over_a_new_one() -> None:
    connections = 0

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    async with server:
        client = await Connection.open(*server.sockets[0].getsockname())
        async with asyncio.timeout(5):
            assert await client.ask(request("/", b"")) == (200, b"{}")
            while not client.is_closed():  # noqa: ASYNC110  # the client sets no event
                await asyncio.sleep(0.001)
            assert await client.ask(request("/", b"")) == (200, b"{}")
        client.close()
    assert connections == 2
