"""An older backup is restored under running processes, and the operator says so."""

import asyncio
import re
import subprocess
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from redis.asyncio import Redis

from tests.cli.installation import Installation
from tests.faults.house import House, opened

pytestmark = [pytest.mark.asyncio, pytest.mark.service, pytest.mark.timeout(240)]

_PATIENCE_SECONDS = 60.0


async def until(true: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not await true():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.05)


async def copied(house: House, origin: Path, target: Path) -> None:
    """The folder of a stopped PostgreSQL, whoever owns it."""
    await asyncio.to_thread(house.postgres.stop)
    await asyncio.to_thread(subprocess.run, ["rm", "-rf", str(target)], check=True)
    await asyncio.to_thread(subprocess.run, ["cp", "-a", str(origin), str(target)], check=True)
    await asyncio.to_thread(house.postgres.start)


class Client:
    """Of one API process."""

    def __init__(self, http: httpx2.AsyncClient, port: int, bearer: str) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{port}"
        self._bearer = bearer

    async def post(self, path: str, body: object) -> httpx2.Response:
        answer = await self._asked("POST", path, {"Idempotency-Key": str(uuid4())}, json=body)
        assert answer.status_code < 300, answer.text
        return answer

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self._asked("GET", path, headers)

    async def _asked(self, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx2.Response:
        """As often as it is told to come again: connections of before the restart are found one by one."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                answer = await self._http.request(
                    method, self._url + path, headers=self._headers(headers), **more
                )
                if answer.status_code not in (503, 504):
                    return answer
                await asyncio.sleep(0.1)

    async def ready(self) -> str:
        """The id of the first event of a stream."""
        async with self._http.stream("GET", f"{self._url}/v1/stream", headers=self._headers({})) as answer:
            async for line in answer.aiter_lines():
                if found := re.fullmatch(r"id: (\S+)", line):
                    return found[1]
        raise AssertionError("a stream ended before it began")

    async def until_over(self, opened: asyncio.Event) -> None:
        """Listen until the server ends it."""
        async with self._http.stream("GET", f"{self._url}/v1/stream", headers=self._headers({})) as answer:
            async for _ in answer.aiter_lines():
                opened.set()

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return {"Authorization": f"Bearer {self._bearer}", **named}


async def test_nothing_of_the_lost_history_is_believed(tmp_path: Path) -> None:
    async with opened(tmp_path, apis=2) as house, httpx2.AsyncClient(timeout=30) as http:
        bearer = await house.sign_in()
        one, other = (Client(http, port, bearer) for port in house.ports)
        made = (await one.post("/v1/products", {"sku": "A", "name": "Caneta", "price": "1.00"})).json()
        path = made["resource"]["url"]
        second = (await one.post("/v1/products", {"sku": "B", "name": "Lápis", "price": "1.00"})).json()
        unsaid = second["resource"]["url"]
        data, backup = house.postgres.directory / "data", tmp_path / "backup"
        await copied(house, data, backup)
        await house.heal()

        # What is going to be lost: a price that one process remembers, a token, a place in the stream.
        await one.post(f"{unsaid}/revise-price", {"price": "9.00"})
        lost = await one.post(f"{path}/revise-price", {"price": "9.00"})
        token = {"Consistency_Token": lost.headers["consistency-token"], "Prefer": "wait=10"}
        found = await other.get(path, **token)
        assert found.json()["price"] == "9", found.text
        resume = {"Last_Event_ID": await one.ready()}
        await copied(house, backup, data)
        await house.heal()
        listening = asyncio.Event()
        stream = asyncio.create_task(one.until_over(listening))
        await asyncio.wait_for(listening.wait(), _PATIENCE_SECONDS)
        # Somebody else writes in its place before anybody has said that there was a restore.
        await other.post(f"{unsaid}/revise-price", {"price": "5.00"})
        await other.post(f"{path}/revise-price", {"price": "5.00"})
        # Whoever appends notices by itself that what it recorded last is gone.
        ended = await one.post(f"{unsaid}/discontinue", {})
        assert ended.json()["state"]["price"] == "5"

        told = await asyncio.to_thread(
            Installation(tmp_path, {}).run,
            *("store", "raise-epoch", "--reason", "the disk was lost", "--yes", "-o", "json"),
            DATABASE_URL=house.postgres.url,
        )
        assert told.code == 0, told.err
        epoch = told.data["epoch"]

        async def refused(client: Client) -> bool:
            answer = await client.get("/v1/products", **token)
            return (answer.status_code, answer.json().get("code")) == (409, "store-epoch-changed")

        await until(partial(refused, one))
        await until(partial(refused, other))
        await asyncio.wait_for(stream, _PATIENCE_SECONDS)
        assert (await one.get("/v1/stream", **resume)).status_code == 409
        assert (await one.ready()).startswith(f"{epoch}-")

        # The process that remembered 9.00 decides on what is recorded now.
        ended = await one.post(f"{path}/discontinue", {})
        assert ended.json()["state"]["price"] == "5"
        assert ended.headers["consistency-token"] > token["Consistency_Token"]
        newer = {"Consistency_Token": ended.headers["consistency-token"], "Prefer": "wait=10"}
        for client in (one, other):
            shown = (await client.get(path, **newer)).json()
            assert (shown["price"], shown["status"]) == ("5", "discontinued")

        async with Redis.from_url(house.valkey.url) as redis:

            async def only_new_keys() -> bool:
                epochs = {key.split(b":")[2] async for key in redis.scan_iter("cc:*:generation")}
                return epochs == {str(epoch).encode()}

            await until(only_new_keys)
