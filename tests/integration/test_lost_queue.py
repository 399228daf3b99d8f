"""A queue that is deleted, or a broker that lost its disk: what was in it is told again, by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
import pytest
from psycopg_pool import AsyncConnectionPool

from integration import consumers, low_water
from integration.broker import Subscription
from integration.event import IntegrationEvent
from integration.low_water import LowWater
from projections.connections import Connection
from tests.integration.conftest import TidyRabbitMQ
from tests.integration.happenings import happening
from tests.integration.listening import Listener, eventually
from tests.integration.test_relay import checkpoints, fill, in_order, recorded_ids, relaying
from tests.projections.sample import FakeLog

pytestmark = pytest.mark.asyncio

Pool = AsyncConnectionPool[Connection]

ALL = Subscription(queue="all", patterns=("#",))
OTHER = Subscription(queue="other", patterns=("#",))


@asynccontextmanager
async def _consuming(broker: TidyRabbitMQ, pool: Pool, listener: Listener) -> AsyncIterator[None]:
    consumer = consumers.Consumer(ALL, listener)
    running = asyncio.create_task(consumers.run(broker, pool, [consumer], owner="me"))
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def _delete(url: str, broker: TidyRabbitMQ) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(f"{broker._prefix}.all")


async def _all_told(pool: Pool, log: FakeLog) -> bool:
    return await checkpoints(pool) == await log.heads()


async def _marks(pool: Pool) -> dict[int, int]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT partition, position FROM integration.consumed")
        return dict(await cursor.fetchall())


@pytest.mark.broker
@pytest.mark.parametrize("is_busy", [True, False], ids=["while events come", "while nothing happens"])
async def test_what_was_in_a_deleted_queue_is_told_again(
    delivery_url: str,
    pool: Pool,
    rabbitmq: TidyRabbitMQ,
    rabbitmq_server: str,
    monkeypatch: pytest.MonkeyPatch,
    is_busy: bool,
) -> None:
    monkeypatch.setattr(low_water, "_DISORDER", 20)
    monkeypatch.setattr(consumers, "_BEAT_EVERY_SECONDS", 0.05)
    go_on, log = asyncio.Event(), FakeLog()
    go_on.set()

    async def work(_: IntegrationEvent) -> None:
        await go_on.wait()

    listener = Listener(work)
    # Somebody else has a queue, too: an event is never without one.
    await rabbitmq.declare([OTHER])
    async with relaying(delivery_url, log, rabbitmq, [ALL]), _consuming(rabbitmq, pool, listener):
        await fill(log, 400)
        await listener.until(lambda: listener.ids() == recorded_ids(log))
        await eventually(lambda: _is_far(pool))
        go_on.clear()
        await fill(log, 400)
        await eventually(lambda: _all_told(pool, log))
        heard = len(listener.heard)
        assert heard < 500
        await _delete(rabbitmq_server, rabbitmq)
        if is_busy:
            await fill(log, 100)
        go_on.set()
        await listener.until(lambda: listener.ids() == recorded_ids(log))
    assert in_order(listener.first_versions())
    # Not from the beginning: what was dealt with long ago is not told again.
    assert len(listener.heard) < 400 + 4 * 60 + 400 + 100 + 200


async def _is_far(pool: Pool) -> bool:
    marks = await _marks(pool)
    return len(marks) == 4 and min(marks.values()) > 50


async def test_what_is_on_the_way_holds_the_mark_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_water, "_DISORDER", 10)
    stuck = asyncio.Event()

    async def work(event: IntegrationEvent) -> None:
        if event.position == 100:
            await stuck.wait()
        if event.position == 101:
            raise RuntimeError("not now")

    handler = LowWater(work)
    slow = asyncio.create_task(handler(happening("slow", partition=1, position=100)))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError):
        await handler(happening("failed", partition=1, position=101))
    await handler(happening("fast", partition=1, position=500))
    await handler(happening("elsewhere", partition=2, position=5))
    await handler(happening("signed head", partition=3, position=0))
    assert handler.marks() == {1: 89, 2: 0}
    stuck.set()
    await slow
    assert handler.marks() == {1: 489, 2: 0}


async def test_what_was_given_back_is_not_taken_for_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_water, "_DISORDER", 10)
    handler = LowWater(lambda event: asyncio.sleep(600 if event.position == 100 else 0))
    slow = asyncio.create_task(handler(happening("slow", partition=1, position=100)))
    await asyncio.sleep(0)
    await handler(happening("fast", partition=1, position=500))
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    assert handler.marks() == {}
    await handler(happening("again", partition=1, position=101))
    assert handler.marks() == {1: 90}
