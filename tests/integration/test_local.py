"""What only the tables that stand in for a broker have to take care of: how many they take, and settle."""

import asyncio

import pytest
from psycopg_pool import AsyncConnectionPool

from integration import local_session
from integration.broker import Subscription, Tally
from integration.event import IntegrationEvent
from integration.local import LocalBroker
from projections.backoff import Backoff
from projections.connections import Connection
from tests.integration.happenings import happening
from tests.integration.listening import Listener, consuming, eventually

pytestmark = pytest.mark.asyncio

Pool = AsyncConnectionPool[Connection]

FEW = Subscription(queue="few", patterns=("#",), concurrency=4)


async def _count(pool: Pool, deliveries: int) -> int:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM integration.local_messages WHERE deliveries >= %s", (deliveries,)
        )
        ((count,),) = await cursor.fetchall()
    return int(count)


async def _is_empty(pool: Pool) -> bool:
    return await _count(pool, 0) == 0


async def test_those_taken_together_with_a_deadly_one_do_not_die_with_it(
    pool: Pool, local: LocalBroker
) -> None:
    await local.declare([FEW])
    await local.publish([happening(f"stream {n}") for n in range(60)])
    async with pool.connection() as connection:
        # As if a process had died with all of them.
        await connection.execute("UPDATE integration.local_messages SET deliveries = 1")
    taken_with_it: list[int] = []

    async def work(_: IntegrationEvent) -> None:
        taken_with_it.append(await _count(pool, 2))

    listener = Listener(work)
    async with consuming(local, FEW, listener):
        await eventually(lambda: _is_empty(pool))
    assert taken_with_it == [1] * 60


async def test_many_are_taken_at_once_and_a_few_handled_at_a_time(pool: Pool, local: LocalBroker) -> None:
    await local.declare([FEW])
    await local.publish([happening(f"stream {n}") for n in range(60)])
    listener = Listener(lambda _: asyncio.sleep(600))
    async with consuming(local, FEW, listener):
        await listener.until(lambda: len(listener.heard) == 4)
        assert await _count(pool, 1) == 60


async def test_what_was_handled_before_a_stop_does_not_come_again(pool: Pool, local: LocalBroker) -> None:
    await local.declare([FEW])
    await local.publish([happening(f"stream {n}") for n in range(20)])
    listener = Listener()
    async with consuming(local, FEW, listener):
        await listener.until(lambda: len(listener.heard) == 20)
    assert await _count(pool, 0) == 0


async def test_a_message_is_found_that_was_committed_after_others_with_higher_numbers(
    pool: Pool, local: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those below what was seen are not looked for again: but nobody may be writing then."""
    monkeypatch.setattr(local_session, "_FLOOR_SECONDS", 0.0)
    failed: set[object] = set()

    async def fail_once(event: IntegrationEvent) -> None:
        if event.id not in failed and event.version == 7:
            failed.add(event.id)
            raise RuntimeError("not now")

    eager = Subscription(queue="eager", patterns=("#",), retry_seconds=(0.3,))
    await local.declare([eager])
    listener = Listener(fail_once)
    early, again, late = happening("early"), happening("again", 7), [happening("late", n) for n in (1, 2, 3)]
    async with consuming(local, eager, listener):
        async with pool.connection() as connection, connection.transaction():
            await local._publish(connection, [early])
            for event in late:
                await local.publish([event])
                await listener.all_of([event])
        await listener.all_of([early])
        await local.publish([again, happening("last")])
        await listener.until(lambda: [event.id for event in listener.heard].count(again.id) == 2)


async def test_what_is_gone_is_not_stepped_over_for_ever(
    pool: Pool, local: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_session, "_FLOOR_SECONDS", 0.0)
    await local.declare([FEW])
    listener = Listener()
    session = local_session.Session(pool, FEW, listener, Tally())
    async with pool.connection() as connection:
        running = asyncio.create_task(session.run(connection, Backoff()))
        for number in range(3):
            await local.publish([event := happening(f"stream {number}")])
            await listener.all_of([event])
        await eventually(lambda: _is_above(session, 3))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _is_above(session: local_session.Session, number: int) -> bool:
    return session._floor > number
