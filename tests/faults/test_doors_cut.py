"""The doors while the database is slow, full, silent or away: a problem that says when to come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
import pytest_asyncio

from api.app import create_app
from runtime.api_process import open_services
from runtime.first_start import FirstLogin, ensure_first_company
from runtime.keys import ensure_keys
from runtime.settings import Settings
from tests.faults.proxy import Fault, Proxy
from write_model.store import committer, connections

pytestmark = [pytest.mark.asyncio, pytest.mark.service, pytest.mark.timeout(60)]

APPEND = "append_events"


class Doors:
    """Two processes' doors over one database, behind one wire, and a client who is signed in to both."""

    def __init__(self, clients: list[httpx2.AsyncClient], url: str, company: str) -> None:
        self._clients = clients
        self._url = url
        self.company = company

    async def ask(
        self,
        path: str = "/v1/products",
        body: dict[str, Any] | None = None,
        *,
        key: str = "",
        at: int = 0,
        company: str = "",
    ) -> httpx2.Response:
        """A command; a product unless said otherwise."""
        headers = {"Idempotency-Key": key or uuid4().hex, "Ccontrol-Company": company or self.company}
        body = body or {"sku": uuid4().hex, "name": "Caneta"}
        return await self._clients[at].post(path, json=body, headers=headers)

    def recorded(self, *keys: str) -> set[str]:
        """Which of these keys have a command with all its events."""
        with psycopg.connect(self._url) as connection:
            rows = connection.execute(
                "SELECT idempotency_key FROM ccontrol.commands c WHERE idempotency_key = ANY (%s)"
                " AND last_position - first_position + 1 = (SELECT count(*) FROM ccontrol.events e"
                " WHERE e.partition = c.partition AND e.command_id = c.command_id)",
                (list(keys),),
            ).fetchall()
        return {key for (key,) in rows}


@pytest_asyncio.fixture
async def doors(
    database_url: str, redis_url: str, wire: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Doors]:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("CCONTROL_STATE", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)
    direct = Settings()
    ensure_keys(direct.root_key.parent)
    await asyncio.to_thread(_without_users, database_url)
    login = await ensure_first_company(direct)
    monkeypatch.setenv("DATABASE_URL", wire.url(database_url))
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            app = create_app(await stack.enter_async_context(open_services(Settings())))
            transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
            client = httpx2.AsyncClient(transport=transport, base_url="http://doors")
            clients.append(await stack.enter_async_context(client))
        await _sign_in(clients, login)
        yield Doors(clients, database_url, login.company_id)


def _without_users(url: str) -> None:
    """All tests of a module share a database; each is the first to start there."""
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE ccontrol.memberships, ccontrol.users")


async def _sign_in(clients: list[httpx2.AsyncClient], login: FirstLogin) -> None:
    for client in clients:
        answer = await client.post("/v1/auth/login", json={"email": login.email, "password": login.password})
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def assert_come_back(answer: httpx2.Response, status: int, code: str) -> None:
    """A problem that says when to try again."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == code
    assert answer.json()["retryable"] is True


async def test_a_full_queue_is_a_503_and_nothing_of_it_is_recorded(
    doors: Doors, wire: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "_WAITING_MAX", 5)
    wire.next(APPEND, Fault.HOLD)
    flying = asyncio.create_task(doors.ask())
    await wire.has_struck(Fault.HOLD)
    keys = [uuid4().hex for _ in range(12)]
    asking = [asyncio.create_task(doors.ask(key=key)) for key in keys]
    # The first five take the places; the rest are answered while the database still thinks about the first.
    done, _ = await asyncio.wait(asking, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    while len(done) < 7:
        done, _ = await asyncio.wait(asking, timeout=0.05)
    for task in done:
        assert_come_back(task.result(), 503, "dependency-down")
    wire.release()
    answers = await asyncio.gather(flying, *asking)
    accepted = {key for key, answer in zip(keys, answers[1:], strict=True) if answer.status_code == 201}
    assert len(accepted) == 5
    assert doors.recorded(*keys) == accepted
    for key in keys:
        assert (await doors.ask(key=key, body={"sku": key, "name": "Outra"})).status_code in {201, 422}


async def test_a_full_disk_is_a_503_at_once_and_the_key_is_free_again(doors: Doors, wire: Proxy) -> None:
    wire.next(APPEND, "53100")
    body, key = {"sku": uuid4().hex, "name": "Caneta"}, uuid4().hex
    assert_come_back(await doors.ask(body=body, key=key), 503, "dependency-down")
    assert not doors.recorded(key)
    assert (await doors.ask(body=body, key=key)).status_code == 201


@pytest.mark.parametrize("first", [Fault.BEFORE, Fault.AFTER])
async def test_a_database_that_left_is_a_504_and_the_same_key_finds_out(
    doors: Doors, wire: Proxy, monkeypatch: pytest.MonkeyPatch, first: Fault
) -> None:
    monkeypatch.setattr(committer, "_PATIENCE_SECONDS", 0.6)
    monkeypatch.setattr(connections, "_READ_PATIENCE_SECONDS", 0.6)
    body, key = {"sku": uuid4().hex, "name": "Caneta"}, uuid4().hex
    await doors.ask()
    wire.next(APPEND, first)
    asking = asyncio.create_task(doors.ask(body=body, key=key))
    await wire.has_struck(first)
    await wire.refuse()
    assert_come_back(await asking, 504, "command-timeout")
    await wire.open()
    again = await doors.ask(body=body, key=key, at=1)
    assert again.status_code == 201
    assert ("idempotency-replayed" in again.headers) is (first is Fault.AFTER)
    assert doors.recorded(key) == {key}


async def test_a_copy_on_another_process_waits_for_the_answer_of_the_first(doors: Doors, wire: Proxy) -> None:
    body, key = {"sku": uuid4().hex, "name": "Caneta"}, uuid4().hex
    wire.next(APPEND, Fault.HOLD)
    first = asyncio.create_task(doors.ask(body=body, key=key))
    await wire.has_struck(Fault.HOLD)
    here = asyncio.create_task(doors.ask(body=body, key=key))
    there = await doors.ask(body=body, key=key, at=1)
    wire.release()
    answers = [there, *await asyncio.gather(first, here)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, there.text)}


async def test_a_company_registered_at_one_process_is_known_at_the_next(doors: Doors) -> None:
    await doors.ask(at=1)
    made = await doors.ask("/v1/companies", {"legal_name": "Segunda"})
    company = made.json()["resource"]["id"]
    assert (await doors.ask(at=1, company=company)).status_code == 201
