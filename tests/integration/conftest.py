"""Both brokers, each under the same name, so that one test holds both to the promises of the port."""

from collections.abc import AsyncIterator, Callable, Sequence
from uuid import uuid4

import aio_pika
import pytest
import pytest_asyncio
from aio_pika.abc import AbstractChannel
from psycopg_pool import AsyncConnectionPool

from integration.bookkeeping import ensure
from integration.broker import Subscription
from integration.local import LocalBroker
from integration.rabbitmq import RabbitMQ
from projections.connections import Connection, open_pool

MakeBroker = Callable[[], LocalBroker | RabbitMQ]


class TidyRabbitMQ(RabbitMQ):
    """Remembers what it made, so that nothing stays behind in a broker that is not ours."""

    def __init__(self, url: str, pool: AsyncConnectionPool[Connection], *, prefix: str) -> None:
        super().__init__(url, pool, prefix=prefix)
        self.made: set[str] = set()

    async def _declare(self, channel: AbstractChannel, subscriptions: Sequence[Subscription]) -> None:
        for each in subscriptions:
            name = f"{self._prefix}.{each.queue}"
            self.made |= {name, f"{name}.dead"}
            self.made |= {f"{name}.retry.{round(pause * 1000)}" for pause in each.retry_seconds}
        await super()._declare(channel, subscriptions)


@pytest_asyncio.fixture
async def delivery_url(database_url: str) -> str:
    """A database with the tables of this room."""
    await ensure(database_url)
    return database_url


@pytest_asyncio.fixture
async def pool(delivery_url: str) -> AsyncIterator[AsyncConnectionPool[Connection]]:
    async with open_pool(delivery_url, size=6, name="test") as opened:
        yield opened


@pytest.fixture
def local(delivery_url: str, pool: AsyncConnectionPool[Connection]) -> LocalBroker:
    return LocalBroker(delivery_url, pool)


@pytest_asyncio.fixture
async def rabbitmq(
    rabbitmq_server: str, pool: AsyncConnectionPool[Connection]
) -> AsyncIterator[TidyRabbitMQ]:
    """An exchange of this test's own in the session's broker."""
    broker = TidyRabbitMQ(rabbitmq_server, pool, prefix=f"test-{uuid4().hex}")
    yield broker
    await tidy(rabbitmq_server, broker)


@pytest_asyncio.fixture(params=["local", pytest.param("rabbitmq", marks=pytest.mark.broker)])
async def make_broker(
    request: pytest.FixtureRequest, delivery_url: str, pool: AsyncConnectionPool[Connection]
) -> AsyncIterator[MakeBroker]:
    """Makes the broker as one more process sees it."""
    if request.param == "local":
        yield lambda: LocalBroker(delivery_url, pool)
        return
    url = request.getfixturevalue("rabbitmq_server")
    prefix = f"test-{uuid4().hex}"
    made: list[TidyRabbitMQ] = []

    def make() -> RabbitMQ:
        made.append(TidyRabbitMQ(url, pool, prefix=prefix))
        return made[-1]

    yield make
    for broker in made:
        await tidy(url, broker)


async def tidy(url: str, broker: TidyRabbitMQ) -> None:
    """Remove what a test made."""
    await broker.close()
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for name in broker.made:
            await channel.queue_delete(name)
        await channel.exchange_delete(f"{broker._prefix}.events")
