"""A process that consumes, and is killed by one event: says `handled <id>` of any other.

    python -m tests.integration.deadly_process DATABASE_URL AMQP_URL PREFIX DEADLY

Without an AMQP_URL the tables of the database are the broker.
"""

import asyncio
import os
import signal
import sys

from integration.broker import Subscription
from integration.event import IntegrationEvent
from integration.local import LocalBroker
from integration.rabbitmq import RabbitMQ
from projections.connections import open_pool

ALL = Subscription(queue="all", patterns=("#",), deliveries_max=3, concurrency=32)


async def _main(database_url: str, amqp_url: str, prefix: str, deadly: str) -> None:
    async def handle(event: IntegrationEvent) -> None:
        if event.public_id == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(1, f"handled {event.public_id}\n".encode())

    async with open_pool(database_url, size=4, name="deadly") as pool:
        broker = RabbitMQ(amqp_url, pool, prefix=prefix) if amqp_url else LocalBroker(database_url, pool)
        await broker.consume(ALL, handle)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
