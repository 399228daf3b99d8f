"""Operators see what did not arrive, decide about it once, and see nothing of another company."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg_pool import AsyncConnectionPool

from api.app import create_app
from api.services import Services
from integration import consumers
from integration.broker import DeadLetter, Letter, Subscription
from integration.dead_letters import bury, decide
from integration.event import IntegrationEvent
from integration.local import LocalBroker
from projections.catalogue import PROJECTIONS
from projections.connections import Connection
from read_model.database import open_engine
from read_model.freshness import Freshnesses
from tests.doors.world import Clock, DoorStore, People, assert_problem
from tests.integration.happenings import COMPANY, happening
from tests.integration.listening import Listener, eventually
from tests.scenario import RandomIds
from tests.store.submissions import appended, submission
from write_model.dispatch import Dispatcher
from write_model.store.personal_data import KeyRing
from write_model.store.sealer import Sealer
from write_model.store.store import Store

pytestmark = pytest.mark.asyncio

Pool = AsyncConnectionPool[Connection]
PATH = "/v1/ops/dead-letters"


class Desk:
    """The doors, and people with roles in front of them."""

    def __init__(self, delivery_url: str) -> None:
        self.engine = open_engine(delivery_url, pool_size=2)
        self.people, self.clock = People(), Clock()
        store = cast("Store", DoorStore())
        self.app = create_app(
            Services(
                store=store,
                dispatcher=Dispatcher(store, RandomIds()),
                engine=self.engine,
                freshness=Freshnesses(self.engine),
                projections=frozenset(kind.name for kind in PROJECTIONS),
                token_keys=[Ed25519PrivateKey.generate()],
                door_secret=b"0123456789abcdef0123456789abcdef",
                clock=self.clock,
                ids=RandomIds(),
            )
        )
        self.app.state.directory = self.people
        transport = httpx2.ASGITransport(app=self.app)
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://doors")

    async def ask(
        self, path: str, role: str = "ops", company: UUID = COMPANY, body: object = None
    ) -> httpx2.Response:
        """A GET, or with a body a POST."""
        user = self.people.add(f"{uuid4()}@example.com", (company, role))
        token = self.app.state.tokens.issue(
            user_id=user, company_id=company, token_id=uuid4(), now=self.clock()
        )
        headers = {"Authorization": f"Bearer {token}"}
        if body is None:
            return await self.client.get(path, headers=headers)
        return await self.client.post(path, headers=headers, json=body)


@pytest_asyncio.fixture
async def desk(delivery_url: str) -> AsyncIterator[Desk]:
    made = Desk(delivery_url)
    yield made
    await made.client.aclose()
    await made.engine.dispose()


@pytest_asyncio.fixture
async def letters(pool: Pool) -> list[IntegrationEvent]:
    """Three of the company, one of another, one that nobody can read."""
    events = [happening(f"stream {n}") for n in range(3)]
    async with pool.connection() as connection:
        for event in events:
            await bury(connection, "webhooks", Letter(event.public_id, event.to_json()), "ValueError: no")
        other = happening("other", company=uuid4())
        await bury(connection, "webhooks", Letter(other.public_id, other.to_json()), "ValueError: no")
        await bury(connection, "webhooks", Letter("garbage", b"\x00\xff"), "not an event")
    return events


async def test_a_company_sees_its_own_letters_page_by_page(
    desk: Desk, letters: list[IntegrationEvent]
) -> None:
    found: list[dict[str, Any]] = []
    path = f"{PATH}?limit=2"
    while True:
        answer = await desk.ask(path)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found += body["data"]
        if not body["page"]["has_more"]:
            break
        path = f"{PATH}?limit=2&cursor={body['page']['next_cursor']}"
    assert [row["message_id"] for row in found] == sorted(event.public_id for event in letters)
    assert {row["error"] for row in found} == {"ValueError: no"}
    first = next(event for event in letters if event.public_id == found[0]["message_id"])
    assert found[0]["event"]["links"][0]["url"] == first.links[0].url
    one = await desk.ask(f"{PATH}/webhooks/{first.public_id}")
    assert one.json() == found[0]
    assert (await desk.ask(f"{PATH}?queue=other")).json()["data"] == []


async def test_nobody_reads_or_decides_about_the_letters_of_another_company(
    desk: Desk, pool: Pool, letters: list[IntegrationEvent]
) -> None:
    stranger = uuid4()
    path = f"{PATH}/webhooks/{letters[0].public_id}"
    assert (await desk.ask(PATH, "owner", stranger)).json()["data"] == []
    assert_problem(await desk.ask(path, "owner", stranger), 404, "not-found")
    assert_problem(await desk.ask(f"{path}/discard", "owner", stranger, {"reason": "x"}), 404, "not-found")
    assert_problem(await desk.ask(f"{PATH}/webhooks/garbage", "owner"), 404, "not-found")
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT DISTINCT state FROM integration.dead_letters")
        assert await cursor.fetchall() == [("dead",)]


async def test_a_decision_is_made_once_and_remembered(desk: Desk, letters: list[IntegrationEvent]) -> None:
    path = f"{PATH}/webhooks/{letters[0].public_id}"
    first = await desk.ask(f"{path}/discard", body={"reason": "an old partner"})
    assert first.status_code == 200, first.text
    assert (first.json()["state"], first.json()["reason"]) == ("discarded", "an old partner")
    assert first.json()["decided_by"].startswith("usr_")
    again = await desk.ask(f"{path}/discard", body={"reason": "other words"})
    assert again.json() == first.json()
    assert_problem(await desk.ask(f"{path}/retry", body={}), 409, "already-decided")
    listed = await desk.ask(f"{PATH}?state=discarded")
    assert [row["message_id"] for row in listed.json()["data"]] == [letters[0].public_id]
    assert len((await desk.ask(PATH)).json()["data"]) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"reason": ""}, 422),
        ({"reason": " "}, 422),
        ({"reason": "x" * 501}, 422),
        ({"reason": "a\x00b"}, 422),
        ({"reason": 1}, 422),
        ({"reason": "x", "more": 1}, 422),
        ([], 422),
    ],
)
async def test_a_discard_without_a_good_reason_is_refused(
    desk: Desk, letters: list[IntegrationEvent], body: object, status: int
) -> None:
    path = f"{PATH}/webhooks/{letters[0].public_id}"
    assert_problem(await desk.ask(f"{path}/discard", body=body), status)
    assert (await desk.ask(path)).json()["state"] == "dead"


@pytest.mark.parametrize("path", ["%00/x", "webhooks/%00", "webhooks/%ff", "webhooks/" + "x" * 600])
async def test_a_path_no_letter_can_have_is_not_found_or_refused(desk: Desk, path: str) -> None:
    for answer in (
        await desk.ask(f"{PATH}/{path}"),
        await desk.ask(f"{PATH}/{path}/discard", body={"reason": "x"}),
    ):
        assert answer.status_code in (400, 404, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("role", ["clerk", "manager", "accountant", "integrator"])
async def test_who_does_not_operate_may_not_look(desk: Desk, role: str) -> None:
    for path in (PATH, f"{PATH}/webhooks/x", "/v1/ops/outbox", "/v1/ops/consumers"):
        assert_problem(await desk.ask(path, role), 403, "permission-denied")
    for verb in ("retry", "discard"):
        answer = await desk.ask(f"{PATH}/webhooks/x/{verb}", role, body={"reason": "x"})
        assert_problem(answer, 403, "permission-denied")
    assert_problem(
        await desk.ask(f"{PATH}/webhooks/x/discard", "auditor", body={"reason": "x"}),
        403,
        "permission-denied",
    )


async def test_only_the_company_that_runs_the_installation_sees_outbox_and_consumers(
    desk: Desk, delivery_url: str, pool: Pool, local: LocalBroker, tmp_path: Any
) -> None:
    home, other = uuid4(), uuid4()
    store = await Store.open(delivery_url, KeyRing.create(tmp_path / "root.key"), uuid4)
    for company in (home, other):
        await appended(store, submission(company))
    await store.close()
    for path in ("/v1/ops/outbox", "/v1/ops/consumers"):
        assert_problem(await desk.ask(path, "owner", other), 403, "permission-denied")
    outbox = (await desk.ask("/v1/ops/outbox", "ops", home)).json()
    assert outbox["pending"] == 2
    assert outbox["oldest_seconds"] > 0
    assert outbox["signed_heads_pending"] == 0
    numbers = (await desk.client.get("/metrics")).text
    assert "ccontrol_outbox_pending 2.0" in numbers
    assert "ccontrol_relay_published_total 0.0" in numbers
    assert (await desk.ask("/v1/ops/consumers", "ops", home)).json() == {"data": []}


async def test_a_signed_head_that_was_not_told_is_pending_like_an_event(
    desk: Desk, delivery_url: str, tmp_path: Any
) -> None:
    home = uuid4()
    store = await Store.open(delivery_url, KeyRing.create(tmp_path / "root.key"), uuid4)
    await appended(store, submission(home))
    await store.close()
    sealer = Sealer(delivery_url, Ed25519PrivateKey.generate(), lambda: datetime.now(UTC) + timedelta(days=1))
    assert len(await sealer.seal_due()) == 1
    outbox = (await desk.ask("/v1/ops/outbox", "ops", home)).json()
    assert (outbox["pending"], outbox["signed_heads_pending"]) == (2, 1)
    assert "ccontrol_outbox_pending 2.0" in (await desk.client.get("/metrics")).text


async def test_a_letter_that_is_to_be_retried_is_dealt_with(
    desk: Desk, pool: Pool, local: LocalBroker
) -> None:
    """The whole way: dies, is counted, is asked for again over HTTP, and is handled."""
    webhooks = Subscription(queue="webhooks", patterns=("#",), retry_seconds=())
    is_healed = False

    async def handle(event: IntegrationEvent) -> None:
        if not is_healed:
            raise DeadLetter("not yet")

    listener = Listener(handle)
    await local.declare([webhooks])
    event = happening()
    await local.publish([event])
    work = asyncio.create_task(
        consumers.run(local, pool, [consumers.Consumer(webhooks, listener)], owner="me")
    )
    try:
        await eventually(lambda: _has(desk, 1))
        assert 'ccontrol_dead_letters{queue="webhooks"} 1.0' in (await desk.client.get("/metrics")).text
        is_healed = True
        answer = await desk.ask(f"{PATH}/webhooks/{event.public_id}/retry", body={})
        assert answer.status_code == 200, answer.text
        await eventually(lambda: _has(desk, 0))
        await listener.until(lambda: len(listener.heard) == 2)
        assert 'ccontrol_dead_letters{queue="webhooks"} 0.0' in (await desk.client.get("/metrics")).text

        async def counted() -> bool:
            async with pool.connection() as connection:
                cursor = await connection.execute(
                    "SELECT handled, buried FROM integration.consumers WHERE owner = 'me'"
                )
                return await cursor.fetchall() == [(1, 1)]

        await eventually(counted)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    assert work.cancelled()


async def _has(desk: Desk, count: int) -> bool:
    return len((await desk.ask(PATH)).json()["data"]) == count


async def test_letters_are_counted_without_saying_whose_they_are(
    desk: Desk, pool: Pool, letters: list[IntegrationEvent]
) -> None:
    async with pool.connection() as connection:
        assert await decide(connection, "webhooks", "garbage", "discarded", actor="me", reason="junk")
    assert 'ccontrol_dead_letters{queue="webhooks"} 4.0' in (await desk.client.get("/metrics")).text
