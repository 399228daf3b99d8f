"""RabbitMQ is killed again and again while the relay publishes: everything arrives, in order per stream.

CCONTROL_BROKER_KILLS and CCONTROL_BROKER_MESSAGES make it bigger: 10 and 20000 is the size that was promised.
"""

import asyncio
import os
import random

import pytest
from psycopg_pool import AsyncConnectionPool

from integration.broker import Subscription
from integration.rabbitmq import RabbitMQ
from projections.connections import Connection
from runtime.servers import RabbitMQServer
from tests.integration.listening import Listener, consuming, eventually
from tests.integration.test_relay import fill, in_order, recorded_ids, relaying
from tests.projections.sample import FakeLog

KILLS = int(os.environ.get("CCONTROL_BROKER_KILLS", "2"))
MESSAGES = int(os.environ.get("CCONTROL_BROKER_MESSAGES", "2000"))
PATIENCE_SECONDS = 60 + 30 * KILLS

# RabbitMQ 3.10 forgets a quorum queue whose node is killed within a second or two of its declaration, and
# then waits for it for ever. That is the broker's to mend; this test is about ours.
SETTLED_SECONDS = 4

ALL = Subscription(queue="all", patterns=("#",), deliveries_max=1_000)


@pytest.mark.asyncio
@pytest.mark.timeout(PATIENCE_SECONDS + 60)
async def test_a_broker_that_is_killed_loses_nothing(
    delivery_url: str, pool: AsyncConnectionPool[Connection], private_rabbitmq: RabbitMQServer
) -> None:
    url = private_rabbitmq.url
    told, heard = RabbitMQ(url, pool), RabbitMQ(url, pool)
    await told.declare([ALL])
    await asyncio.sleep(SETTLED_SECONDS)
    log, listener = FakeLog(), Listener()
    share = MESSAGES // (KILLS + 1)
    async with consuming(heard, ALL, listener), relaying(delivery_url, log, told, [ALL]):
        for number in range(KILLS):
            await fill(log, share, companies=16, accounts=20)
            # Somewhere in the middle of sending them.
            wanted = number * share + random.randrange(share // 10, share // 2)
            await listener.until(lambda n=wanted: len(listener.ids()) >= n, PATIENCE_SECONDS)  # type: ignore[misc]
            private_rabbitmq.kill()
            # This blocks the loop, as starting is for the main thread: also the relay's lease runs out.
            private_rabbitmq.start()
            assert private_rabbitmq.url == url
        await fill(log, MESSAGES - KILLS * share, companies=16, accounts=20)
        await listener.until(lambda: len(listener.ids()) == MESSAGES, PATIENCE_SECONDS)
        await eventually(lambda: _all_confirmed(pool, log), PATIENCE_SECONDS)
    await told.close()
    assert listener.ids() == recorded_ids(log)
    assert in_order(listener.first_versions())
    print(f"{KILLS} kills, {MESSAGES} messages, {len(listener.heard) - MESSAGES} duplicates")  # noqa: T201


async def _all_confirmed(pool: AsyncConnectionPool[Connection], log: FakeLog) -> bool:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT partition, position FROM integration.relay")
        return dict(await cursor.fetchall()) == await log.heads()
