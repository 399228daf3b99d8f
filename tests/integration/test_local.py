"""What only the tables that stand in for a broker have to take care of: how many they take, and settle."""

import asyncio

import pytest
from psycopg_pool import AsyncConnectionPool

from integration.broker import Subscription
from integration.local import LocalBroker
from projections.connections import Connection
from tests.integration.happenings import happening
from tests.integration.listening import Listener, consuming

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


async def test_those_taken_together_with_a_deadly_one_do_not_die_with_it(
    pool: Pool, local: LocalBroker
) -> None:
    await local.declare([FEW])
    await local.publish([happening(f"stream {n}") for n in range(60)])
    async with pool.connection() as connection:
        # As if a process had died with all of them.
        await connection.execute("UPDATE integration.local_messages SET deliveries = 1")
    listener = Listener(lambda _: asyncio.sleep(600))
    async with consuming(local, FEW, listener):
        await listener.until(lambda: len(listener.heard) == 4)
        assert await _count(pool, 2) == 4


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
