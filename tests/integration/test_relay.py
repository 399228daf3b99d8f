"""The relay: everything recorded is told at least once, in order per stream, whatever fails in between."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg_pool import AsyncConnectionPool

from integration.broker import Published, PublishFailed, Subscription
from integration.event import IntegrationEvent
from integration.local import LocalBroker
from integration.relay import LANE, run
from projections.connections import Connection
from projections.lane import CheckpointMoved, Fence, LeaseLost
from projections.pages import EventLog
from tests.integration.listening import Listener, consuming, eventually
from tests.projections.sample import Deposited, FakeLog, account
from tests.store.submissions import appended, entry, party, submission
from write_model.store.log import Log
from write_model.store.personal_data import KeyRing
from write_model.store.sealer import Sealer
from write_model.store.store import Store

pytestmark = pytest.mark.asyncio

Pool = AsyncConnectionPool[Connection]

ALL = Subscription(queue="all", patterns=("#",))


@asynccontextmanager
async def relaying(
    url: str,
    log: EventLog,
    broker: object,
    subscriptions: Sequence[Subscription] = (ALL,),
    owner: str = "one",
) -> AsyncIterator[None]:
    """A relay runs inside this block."""

    @asynccontextmanager
    async def open_log() -> AsyncIterator[EventLog]:
        yield log

    work = run(url, open_log, broker, subscriptions, owner=owner, lease_seconds=2)  # type: ignore[arg-type]
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def checkpoints(pool: Pool) -> dict[int, int]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT partition, position FROM integration.relay")
        return dict(await cursor.fetchall())


async def complaints(pool: Pool) -> set[str]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT error FROM integration.relay WHERE error IS NOT NULL")
        return {error for (error,) in await cursor.fetchall()}


async def fill(log: FakeLog, events: int, companies: int = 8, accounts: int = 5) -> None:
    for number in range(events):
        owner = number % companies
        await log.append(owner, Deposited(account=account(number % accounts), amount=number))


def recorded_ids(log: FakeLog, partitions: int = 4) -> set[UUID]:
    return {recorded.event_id for partition in range(partitions) for recorded in log.all(partition)}


def in_order(versions: dict[UUID, list[int]]) -> bool:
    return all(found == list(range(1, len(found) + 1)) for found in versions.values())


async def test_everything_recorded_is_told_in_order(
    delivery_url: str, pool: Pool, local: LocalBroker
) -> None:
    log, listener = FakeLog(), Listener()
    await fill(log, 700)
    async with relaying(delivery_url, log, local), consuming(local, ALL, listener):
        await listener.until(lambda: len(listener.ids()) == 700)
        await fill(log, 50)
        await listener.until(lambda: len(listener.ids()) == 750)
        await eventually(lambda: _caught_up(pool, log))
    assert listener.ids() == recorded_ids(log)
    assert len(listener.heard) == 750  # nothing failed, so nothing came twice
    assert in_order(listener.first_versions())


async def _caught_up(pool: Pool, log: FakeLog) -> bool:
    return await checkpoints(pool) == await log.heads()


async def test_a_restart_goes_on_where_the_last_one_stopped(
    delivery_url: str, pool: Pool, local: LocalBroker
) -> None:
    log, listener = FakeLog(), Listener()
    async with consuming(local, ALL, listener):
        for _ in range(3):
            await fill(log, 40)
            async with relaying(delivery_url, log, local):
                await eventually(lambda: _caught_up(pool, log))
        await listener.until(lambda: len(listener.ids()) == 120)
    assert len(listener.heard) == 120


async def test_a_store_that_was_restored_is_told_from_where_it_is(
    delivery_url: str, pool: Pool, local: LocalBroker
) -> None:
    log, listener = FakeLog(partitions=1), Listener()
    await fill(log, 20, companies=1)
    async with relaying(delivery_url, log, local), consuming(local, ALL, listener):
        await listener.until(lambda: len(listener.heard) == 20)
        await eventually(lambda: _caught_up(pool, log))
        del log.all(0)[10:]
        async with pool.connection() as connection:
            await connection.execute("UPDATE integration.relay SET position = 10")
        log.epoch = 2
        await log.append(0, Deposited(account=account(9), amount=1))
        await listener.until(lambda: len(listener.heard) == 21)
        await eventually(lambda: _caught_up(pool, log))
    assert listener.heard[-1].id == log.all(0)[-1].event_id


async def test_what_has_no_queue_is_not_passed_over(
    delivery_url: str, pool: Pool, local: LocalBroker
) -> None:
    log, listener = FakeLog(), Listener()
    await fill(log, 10)
    async with relaying(delivery_url, log, local, subscriptions=()):
        await eventually(lambda: _complains(pool, "Unroutable"))
        assert set((await checkpoints(pool)).values()) == {0}
        # As soon as there is a queue it goes on by itself.
        await local.declare([ALL])
        async with consuming(local, ALL, listener):
            await listener.until(lambda: len(listener.ids()) == 10)
        await eventually(lambda: _caught_up(pool, log))
        await eventually(lambda: _silent(pool))


async def _complains(pool: Pool, of: str) -> bool:
    return any(of in said for said in await complaints(pool))


async def _silent(pool: Pool) -> bool:
    return not await complaints(pool)


async def test_an_event_that_cannot_be_read_is_waited_for(
    delivery_url: str, pool: Pool, local: LocalBroker
) -> None:
    log, listener = FakeLog(partitions=1), Listener()
    await fill(log, 20, companies=1)
    good = log.all(0)[11]
    damaged = log.all(0)[12]
    log.corrupt(0, 12, damaged)  # a gap
    async with relaying(delivery_url, log, local), consuming(local, ALL, listener):
        await listener.until(lambda: len(listener.ids()) == 11)
        await eventually(lambda: _complains(pool, "LogUnreadable"))
        assert await checkpoints(pool) == {0: 11}
        log.corrupt(0, 12, good)
        await listener.until(lambda: len(listener.ids()) == 20)
    assert in_order(listener.first_versions())


# --- failures -----------------------------------------------------------------------------------------


class FlakyBroker:
    """Fails at random: before sending, between two events, or by losing the confirms of what it sent."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.sent: list[IntegrationEvent] = []
        self.failures = 0
        self.declared = 0

    async def declare(self, subscriptions: Sequence[Subscription]) -> None:
        self.declared += 1
        self._perhaps_fail(0.2)

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator["FlakyBroker"]:
        yield self

    async def publish(self, events: Sequence[IntegrationEvent]) -> Published:
        await asyncio.sleep(0)
        confirmed: set[UUID] = set()
        stopped: set[UUID] = set()
        failed = False
        for event in events:
            if event.stream_id in stopped:
                continue
            fate = self._random.random()
            if fate < 0.05:  # a Nack
                stopped.add(event.stream_id)
                failed = True
                continue
            self.sent.append(event)
            if fate < 0.10:  # sent, but the confirm got lost
                stopped.add(event.stream_id)
                failed = True
                continue
            confirmed.add(event.id)
            if self._random.random() < 0.02:  # the connection broke
                failed = True
                break
        self.failures += failed
        return Published(frozenset(confirmed), PublishFailed("flaky") if failed else None)

    def _perhaps_fail(self, probability: float) -> None:
        if self._random.random() < probability:
            self.failures += 1
            raise PublishFailed("flaky")


@pytest.mark.parametrize("seed", range(3))
async def test_failures_at_random_lose_nothing_and_turn_nothing_round(
    delivery_url: str, pool: Pool, seed: int
) -> None:
    log, broker = FakeLog(), FlakyBroker(seed)
    await fill(log, 600)
    async with relaying(delivery_url, log, broker):
        await eventually(lambda: _caught_up(pool, log))
    assert {event.id for event in broker.sent} == recorded_ids(log)
    listener = Listener()
    listener.heard = broker.sent
    assert in_order(listener.first_versions())
    assert broker.failures > 10
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT sum(published), sum(failed) FROM integration.relay")
        ((published, failed),) = await cursor.fetchall()
    assert published == 600
    assert failed > 0


async def test_two_relays_share_and_one_takes_over(delivery_url: str, pool: Pool, local: LocalBroker) -> None:
    log, listener = FakeLog(), Listener()
    async with consuming(local, ALL, listener), relaying(delivery_url, log, local, owner="two"):
        async with relaying(delivery_url, log, local, owner="one"):
            await eventually(lambda: _shared(pool))
            await fill(log, 200)
            await listener.until(lambda: len(listener.ids()) == 200)
        await fill(log, 200)
        await listener.until(lambda: len(listener.ids()) == 400)
    assert in_order(listener.first_versions())


async def _shared(pool: Pool) -> bool:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT owner, count(*) FROM read.leases GROUP BY owner")
        return dict(await cursor.fetchall()) == {"one": 2, "two": 2}


async def test_who_has_lost_the_lease_moves_no_checkpoint(delivery_url: str, pool: Pool) -> None:
    from integration.relay import _Course

    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO read.leases (partition, lane, owner, epoch) VALUES (0, %s, 'new', 7)", (LANE,)
        )
        await connection.execute("INSERT INTO integration.relay (partition) VALUES (0)")
    owner = _Course(pool, Fence(LANE, 0, "new", 7))
    await owner.reach(5)
    for fence in (Fence(LANE, 0, "new", 6), Fence(LANE, 0, "old", 7), Fence("sql", 0, "new", 7)):
        with pytest.raises(LeaseLost):
            await _Course(pool, fence).reach(9)
    with pytest.raises(CheckpointMoved):
        await _Course(pool, Fence(LANE, 0, "new", 7)).reach(3)
    assert await checkpoints(pool) == {0: 5}


class DeadBroker:
    """Never there."""

    async def declare(self, subscriptions: Sequence[Subscription]) -> None:
        raise PublishFailed("down")

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator["DeadBroker"]:
        yield self


async def test_a_broker_that_is_down_is_waited_for(delivery_url: str, pool: Pool, local: LocalBroker) -> None:
    log, listener = FakeLog(), Listener()
    await fill(log, 10)
    async with relaying(delivery_url, log, DeadBroker()):
        await eventually(lambda: _complains(pool, "down"))
    assert set((await checkpoints(pool)).values()) == {0}
    async with relaying(delivery_url, log, local), consuming(local, ALL, listener):
        await listener.until(lambda: len(listener.ids()) == 10)


class FullBroker:
    """Takes queues and no messages, as RabbitMQ does under an alarm; what is complained of at each try."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.said: list[set[str]] = []

    async def declare(self, subscriptions: Sequence[Subscription]) -> None:
        pass

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator["FullBroker"]:
        yield self

    async def publish(self, events: Sequence[IntegrationEvent]) -> Published:
        self.said.append(await complaints(self._pool))
        return Published(frozenset(), PublishFailed("full"))


async def test_what_a_relay_waits_for_is_said_as_long_as_it_waits(
    delivery_url: str, pool: Pool, local: LocalBroker
) -> None:
    log, full = FakeLog(), FullBroker(pool)
    await fill(log, 1)

    async def tried_again() -> bool:
        return len(full.said) >= 4

    async with relaying(delivery_url, log, full):
        await eventually(tried_again)
    assert full.said[0] == set()
    assert full.said[1:4] == 3 * [{"PublishFailed: full"}]
    # Also by another process, and then no longer.
    async with relaying(delivery_url, log, local):
        await eventually(lambda: _caught_up(pool, log))
        await eventually(lambda: _silent(pool))


async def test_signed_heads_are_told_once_their_signature_is_kept(
    delivery_url: str, pool: Pool, local: LocalBroker, tmp_path: Path
) -> None:
    company = uuid4()
    store = await Store.open(delivery_url, KeyRing.create(tmp_path / "root.key"), uuid4)
    await appended(store, submission(company))
    await store.close()
    sealer = Sealer(delivery_url, Ed25519PrivateKey.generate(), lambda: datetime.now(UTC) + timedelta(days=1))
    assert len(await sealer.seal_due()) == 1
    log, listener = FakeLog(partitions=8), Listener()
    async with consuming(local, ALL, listener):
        for owner in ("one", "two"):
            async with relaying(delivery_url, log, local, owner=owner):
                await listener.until(lambda: bool(listener.heard))
                await eventually(lambda: _nothing_unsent(pool))
    (signed,) = listener.heard
    assert (signed.topic, signed.company_id, signed.version) == ("audit.checkpoint_signed", company, 1)


async def _nothing_unsent(pool: Pool) -> bool:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM ccontrol.outbox WHERE kind = 'checkpoint' AND sent_at IS NULL"
        )
        return await cursor.fetchall() == [(0,)]


# --- what is told -------------------------------------------------------------------------------------


async def test_no_personal_data_leaves_the_store(
    delivery_url: str, pool: Pool, local: LocalBroker, tmp_path: Path
) -> None:
    """The real store, the real log, personal events; every byte that was put into a queue is looked at."""
    name, tax_number = "Beltrana Inventada", "52998224725"
    company, person = uuid4(), uuid4()
    store = await Store.open(delivery_url, KeyRing.create(tmp_path / "root.key"), uuid4)
    await appended(store, submission(company, None, 0, party(person, name), entry()))
    await store.close()
    await local.declare([ALL])
    log = await Log.open(delivery_url, None)
    try:
        async with relaying(delivery_url, log, local):
            await eventually(lambda: _waiting(pool, 2))
    finally:
        await log.close()
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT convert_from(body, 'UTF8') FROM integration.local_messages")
        bodies = [body for (body,) in await cursor.fetchall()]
        cursor = await connection.execute("SELECT data FROM ccontrol.events WHERE topic LIKE 'parties.%'")
        ((stored,),) = await cursor.fetchall()
    ciphertexts = [value["ct"] for value in json.loads(stored).values() if isinstance(value, dict)]
    assert len(ciphertexts) == 2
    for secret in (name, "Beltrana", tax_number, "Recife", "Venda", "Caixa", "1050", *ciphertexts):
        assert secret not in "".join(bodies)
    registered = next(json.loads(body) for body in bodies if "parties." in body)
    assert [link["type"] for link in registered["links"]] == ["party"]


async def _waiting(pool: Pool, count: int) -> bool:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM integration.local_messages")
        return await cursor.fetchall() == [(count,)]
