"""RabbitMQ behind the port.

    <prefix>.events               topic exchange; routing keys are <company>.<topic>
    <prefix>.<queue>              quorum queue, one active consumer
    <prefix>.<queue>.retry.<ms>   one per pause: messages expire back into the queue
    <prefix>.<queue>.dead         what the broker or a handler gave up; moves on into our database

Everything is declared by whoever uses it, again and again. Other arguments need another queue name: RabbitMQ
refuses to redeclare. A pattern taken out of a subscription stays bound until somebody unbinds it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity
from psycopg_pool import AsyncConnectionPool
from yarl import URL

from integration import low_water
from integration.amqp import (
    BROKEN,
    CONFIRM_SECONDS,
    CONNECT_SECONDS,
    as_failure,
    close,
    declare_exchange,
    send,
)
from integration.broker import Handler, Letter, PublishFailed, Subscription, Tally
from integration.rabbitmq_publisher import RabbitPublisher
from integration.rabbitmq_session import Session, dead_letters_of, retry_of
from projections.backoff import Backoff
from projections.connections import Connection, is_transient, stop_if_cancelled

# A broker that is there but does not answer is noticed after two of these.
_HEARTBEAT_SECONDS = 10
# Dead letters wait for our database however long that takes; a number, because versions differ in what
# stands for "no limit".
_NO_LIMIT = 1_000_000_000

_OpenChannel = Callable[[], Awaitable[AbstractChannel]]

_log = structlog.get_logger(__name__)


class RabbitMQ:
    """One broker. `pool` is where dead letters are kept; `prefix` keeps installations and tests apart."""

    def __init__(self, url: str, pool: AsyncConnectionPool[Connection], *, prefix: str = "ccontrol") -> None:
        given = URL(url)
        self._url = given.update_query(heartbeat=given.query.get("heartbeat", _HEARTBEAT_SECONDS))
        self._pool = pool
        self._prefix = prefix
        self._connection: AbstractConnection | None = None
        self._connecting = asyncio.Lock()

    async def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)

    async def declare(self, subscriptions: Sequence[Subscription]) -> None:
        """Make what is missing; idempotent."""
        try:
            await self._make_good(self._channel, subscriptions)
            channel = await self._channel()
            try:
                await self._declare(channel, subscriptions)
            finally:
                await close(channel)
        except BROKEN as error:
            raise as_failure(error) from error
        except Exception as error:
            if not is_transient(error):
                raise
            raise PublishFailed(f"the database: {type(error).__name__}") from error

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator["RabbitPublisher"]:
        """On a channel of its own, so that reopening it disturbs nobody."""
        publisher = RabbitPublisher(self._channel, self._prefix)
        try:
            yield publisher
        finally:
            await publisher.close()

    async def redeliver(self, queue: str, letter: Letter) -> None:
        """Past the exchange, straight into the queue."""
        try:
            channel = await self._channel()
            try:
                await send(channel.default_exchange, self._name(queue), letter, {})
            finally:
                await close(channel)
        except BROKEN as error:
            raise as_failure(error) from error

    async def consume(self, subscription: Subscription, handler: Handler, tally: Tally | None = None) -> None:
        """One active consumer at a time; the broker lets the others stand by."""
        backoff = Backoff()
        while True:
            stop_if_cancelled()
            try:
                connection = await self._connect()
                try:
                    await self._make_good(partial(self._open, connection), [subscription])
                    channel = await self._open(connection)
                    await self._declare(channel, [subscription])
                    session = Session(
                        channel,
                        self._name(subscription.queue),
                        self._pool,
                        subscription,
                        handler,
                        tally or Tally(),
                    )
                    await session.run(backoff)
                finally:
                    await close(connection)
            except Exception as error:
                stop_if_cancelled()
                if not (is_transient(error) or isinstance(error, BROKEN)):
                    raise
                _log.warning("consumer_waits", queue=subscription.queue, error=str(as_failure(error)))
            except asyncio.CancelledError:
                # The library cancels what waits on a channel that is lost. Are we meant?
                stop_if_cancelled()
            await asyncio.sleep(backoff.failed())

    # --- connections and topology ---------------------------------------------------------------------

    async def _connect(self) -> AbstractConnection:
        return await aio_pika.connect(self._url, timeout=CONNECT_SECONDS)

    async def _channel(self) -> AbstractChannel:
        """A new channel on the connection for publishing.

        The library takes a connection that the broker has reset for open: one that gives no channel is left.
        """
        async with self._connecting:
            if self._connection is None or self._connection.is_closed:
                self._connection = await self._connect()
            connection = self._connection
        try:
            return await self._open(connection)
        except BROKEN:
            if self._connection is connection:
                await self.close()
            raise

    async def _open(self, connection: AbstractConnection) -> AbstractChannel:
        # Without on_return_raises a message that belongs to no queue would be confirmed like any other.
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        async with asyncio.timeout(CONNECT_SECONDS):
            await channel.initialize()
        return channel

    def _name(self, queue: str) -> str:
        return f"{self._prefix}.{queue}"

    async def _make_good(self, open_channel: _OpenChannel, subscriptions: Sequence[Subscription]) -> None:
        """A queue that is not there has lost what it held, if it was there before: it is told again."""
        for subscription in subscriptions:
            is_there = await _is_there(open_channel, self._name(subscription.queue))
            async with self._pool.connection() as connection:
                await low_water.begin(connection, subscription.queue)
                again = {} if is_there else await low_water.go_back(connection, subscription.queue)
            if again:
                _log.warning("queue_was_lost", queue=subscription.queue, told_again_after=again)

    async def _declare(self, channel: AbstractChannel, subscriptions: Sequence[Subscription]) -> None:
        exchange = await declare_exchange(channel, self._prefix)
        for subscription in subscriptions:
            name = self._name(subscription.queue)
            # Before what is sent to them: dead-lettering into a queue that does not exist would hang.
            await _declare_queue(channel, dead_letters_of(name), {"x-delivery-limit": _NO_LIMIT})
            back = {"x-dead-letter-exchange": "", "x-dead-letter-strategy": "at-least-once"}
            for seconds in sorted(set(subscription.retry_seconds)):
                await _declare_queue(
                    channel,
                    retry_of(name, seconds),
                    {
                        **back,
                        "x-dead-letter-routing-key": name,
                        "x-message-ttl": round(seconds * 1000),
                        "x-overflow": "reject-publish",
                        "x-delivery-limit": _NO_LIMIT,
                    },
                )
            queue = await _declare_queue(
                channel,
                name,
                {
                    **back,
                    "x-dead-letter-routing-key": dead_letters_of(name),
                    "x-overflow": "reject-publish",
                    "x-delivery-limit": subscription.deliveries_max,
                    "x-single-active-consumer": True,
                },
            )
            for pattern in subscription.patterns:
                await queue.bind(exchange, pattern)


async def _is_there(open_channel: _OpenChannel, name: str) -> bool:
    channel = await open_channel()
    try:
        await channel.declare_queue(name, passive=True, timeout=CONFIRM_SECONDS)
    except ChannelNotFoundEntity:
        return False
    finally:
        await close(channel)
    return True


async def _declare_queue(channel: AbstractChannel, name: str, arguments: dict[str, Any]) -> Any:
    return await channel.declare_queue(
        name, durable=True, arguments={"x-queue-type": "quorum", **arguments}, timeout=CONFIRM_SECONDS
    )
