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
from contextlib import asynccontextmanager, suppress
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import (
    AMQPChannelError,
    AMQPException,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    DeliveryError,
    PublishError,
)
from psycopg_pool import AsyncConnectionPool
from yarl import URL

from integration import low_water
from integration.broker import Handler, Letter, Published, PublishFailed, Subscription, Tally, Unroutable
from integration.dead_letters import bury
from integration.event import IntegrationEvent
from integration.handling import Verdict, handle, read
from integration.turns import Turn, Turns
from projections.backoff import Backoff
from projections.connections import Connection, is_transient, stop_if_cancelled
from projections.side_by_side import side_by_side

_CONNECT_SECONDS = 10
# A broker that is there but does not answer is noticed after two of these.
_HEARTBEAT_SECONDS = 10
_CONFIRM_SECONDS = 30
# How many messages may be on their way at a time.
_WINDOW = 256
# Dead letters wait for our database however long that takes; a number, because versions differ in what
# stands for "no limit".
_NO_LIMIT = 1_000_000_000
_ATTEMPTS = "x-ccontrol-attempts"
_ERROR = "x-ccontrol-error"

# Whatever happens to a connection ends in one of these; RuntimeError is what asyncio and the library raise
# for a transport or channel that is closed already.
_BROKEN = (AMQPException, ChannelInvalidStateError, OSError, TimeoutError, EOFError, RuntimeError)

_OpenChannel = Callable[[], Awaitable[AbstractChannel]]

_log = structlog.get_logger(__name__)


class BrokerLost(ConnectionError):
    """The connection, the channel or the consumer has ended: begin anew."""


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
            await _closed(connection)

    async def declare(self, subscriptions: Sequence[Subscription]) -> None:
        """Make what is missing; idempotent."""
        try:
            await self._make_good(self._channel, subscriptions)
            channel = await self._channel()
            try:
                await self._declare(channel, subscriptions)
            finally:
                await _closed(channel)
        except _BROKEN as error:
            raise _as_failure(error) from error
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
                await _send(channel.default_exchange, self._name(queue), letter, {})
            finally:
                await _closed(channel)
        except _BROKEN as error:
            raise _as_failure(error) from error

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
                    session = _Session(
                        channel,
                        self._name(subscription.queue),
                        self._pool,
                        subscription,
                        handler,
                        tally or Tally(),
                    )
                    await session.run(backoff)
                finally:
                    await _closed(connection)
            except Exception as error:
                stop_if_cancelled()
                if not (is_transient(error) or isinstance(error, _BROKEN)):
                    raise
                _log.warning("consumer_waits", queue=subscription.queue, error=str(_as_failure(error)))
            except asyncio.CancelledError:
                # The library cancels what waits on a channel that is lost. Are we meant?
                stop_if_cancelled()
            await asyncio.sleep(backoff.failed())

    # --- connections and topology ---------------------------------------------------------------------

    async def _connect(self) -> AbstractConnection:
        return await aio_pika.connect(self._url, timeout=_CONNECT_SECONDS)

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
        except _BROKEN:
            if self._connection is connection:
                await self.close()
            raise

    async def _open(self, connection: AbstractConnection) -> AbstractChannel:
        # Without on_return_raises a message that belongs to no queue would be confirmed like any other.
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        async with asyncio.timeout(_CONNECT_SECONDS):
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
        exchange = await _exchange(channel, self._prefix)
        for subscription in subscriptions:
            name = self._name(subscription.queue)
            # Before what is sent to them: dead-lettering into a queue that does not exist would hang.
            await _queue(channel, _dead(name), {"x-delivery-limit": _NO_LIMIT})
            back = {"x-dead-letter-exchange": "", "x-dead-letter-strategy": "at-least-once"}
            for seconds in sorted(set(subscription.retry_seconds)):
                await _queue(
                    channel,
                    _retry(name, seconds),
                    {
                        **back,
                        "x-dead-letter-routing-key": name,
                        "x-message-ttl": round(seconds * 1000),
                        "x-overflow": "reject-publish",
                        "x-delivery-limit": _NO_LIMIT,
                    },
                )
            queue = await _queue(
                channel,
                name,
                {
                    **back,
                    "x-dead-letter-routing-key": _dead(name),
                    "x-overflow": "reject-publish",
                    "x-delivery-limit": subscription.deliveries_max,
                    "x-single-active-consumer": True,
                },
            )
            for pattern in subscription.patterns:
                await queue.bind(exchange, pattern)


class RabbitPublisher:
    """A channel, opened when it is needed and left after any failure.

    After the leader of a queue died, a channel that had not published before may get Nacks for ever; a new
    one works. So every failure is a reason to open another.
    """

    def __init__(self, open_channel: Any, prefix: str) -> None:
        self._open_channel = open_channel
        self._prefix = prefix
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None

    async def publish(self, events: Sequence[IntegrationEvent]) -> Published:
        """Many at a time, but one at a time of each stream: a Nack cannot let the next one overtake."""
        sending = _Sending()
        try:
            exchange = await self._ready()
        except _BROKEN as error:
            sending.failure = _as_failure(error)
        else:
            chains: dict[UUID, list[IntegrationEvent]] = {}
            for event in events:
                chains.setdefault(event.stream_id, []).append(event)
            await side_by_side(sending.send(exchange, chain) for chain in chains.values())
        if sending.failure is not None:
            await self.close()
        return Published(frozenset(sending.confirmed), sending.failure)

    async def close(self) -> None:
        """Leave the channel."""
        channel, self._channel, self._exchange = self._channel, None, None
        if channel is not None:
            await _closed(channel)

    async def _ready(self) -> AbstractExchange:
        if self._channel is None or self._channel.is_closed or self._exchange is None:
            await self.close()
            self._channel = await self._open_channel()
            self._exchange = await _exchange(self._channel, self._prefix)
        return self._exchange


class _Sending:
    """One call of `publish`: what is confirmed, and the first failure, after which nothing is begun."""

    def __init__(self) -> None:
        self.confirmed: set[UUID] = set()
        self.failure: PublishFailed | None = None
        self._window = asyncio.Semaphore(_WINDOW)

    async def send(self, exchange: AbstractExchange, chain: Sequence[IntegrationEvent]) -> None:
        """The events of one stream, each after the confirm of the one before."""
        for event in chain:
            async with self._window:
                if self.failure is not None:
                    return
                try:
                    await _send(exchange, event.routing_key, Letter(event.public_id, event.to_json()), {})
                except _BROKEN as error:
                    self._note(error, event)
                    return
                except asyncio.CancelledError as error:
                    stop_if_cancelled()
                    # The library cancels those who wait for a confirm when the channel is lost.
                    self._note(error, event)
                    return
            self.confirmed.add(event.id)

    def _note(self, error: BaseException, event: IntegrationEvent) -> None:
        if isinstance(error, PublishError):
            # Rather than a connection that broke at the same time: this is what somebody has to mend.
            self.failure = Unroutable(f"{event.routing_key} belongs to no queue")
        elif self.failure is None:
            self.failure = _as_failure(error)


class _Session:
    """Consuming one queue and the dead letters behind it, on one channel.

    Whoever dies takes all that is on the way towards its delivery limit. So it begins with one message at a
    time, and goes on with many only when one comes that nobody has died with: those come first that somebody
    may have died of.
    """

    def __init__(
        self,
        channel: AbstractChannel,
        name: str,
        pool: AsyncConnectionPool[Connection],
        subscription: Subscription,
        handler: Handler,
        tally: Tally,
    ) -> None:
        self._channel = channel
        self._name = name
        self._pool = pool
        self._subscription = subscription
        self._handler = handler
        self._tally = tally
        self._turns = Turns()
        self._is_careful = True
        self._tag = ""
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, backoff: Backoff) -> None:
        """Until cancelled, or until anything breaks: then everything unacknowledged is delivered again."""
        underlay = await self._channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: self._end(BrokerLost("consumer cancelled")))
        self._channel.close_callbacks.add(
            lambda _, error: self._end(BrokerLost(f"channel closed: {type(error).__name__}"))
        )
        try:
            await self._channel.set_qos(prefetch_count=self._subscription.concurrency)
            dead = await self._channel.get_queue(_dead(self._name), ensure=False)
            await dead.consume(self._received_dead)
            await self._take(1)
            backoff.reset()
            await self._ended
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    async def _take(self, at_a_time: int) -> None:
        # It counts for those who begin to consume after it. Under another name each time: the broker would
        # take what comes next for what the name had before, and break off.
        await self._channel.set_qos(prefetch_count=at_a_time)
        self._tag = f"{self._name}.{uuid4().hex}"
        queue = await self._channel.get_queue(self._name, ensure=False)
        await queue.consume(self._received, consumer_tag=self._tag)

    async def _take_many(self) -> None:
        """While the one we have is dealt with but not acknowledged, so that no other comes between."""
        self._is_careful = False
        queue = await self._channel.get_queue(self._name, ensure=False)
        await queue.cancel(self._tag)
        await self._take(self._subscription.concurrency)

    async def _received(self, message: AbstractIncomingMessage) -> None:
        """Called in the order of delivery; the queueing up is done before the first pause of this task."""
        if message.redelivered and not self._is_careful:
            # We stood by while another died.
            self._end(BrokerLost("redelivered: they are taken one at a time"))
        if self._ended.done():
            return
        event = read(message.body)
        if isinstance(event, Verdict):
            self._begin(self._settle(message, event))
        else:
            self._begin(self._deal(message, event, self._turns.ask(event.stream_id)))

    async def _received_dead(self, message: AbstractIncomingMessage) -> None:
        self._begin(self._keep(message))

    def _begin(self, work: Any) -> None:
        """Run it in a task of ours: the library's own are cancelled with the channel."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(error)

    async def _deal(self, message: AbstractIncomingMessage, event: IntegrationEvent, turn: Turn) -> None:
        async with turn.taken():
            attempts = _attempts(message)
            verdict = await handle(self._subscription, self._handler, event, attempts)
            if self._is_careful and not message.redelivered:
                await self._take_many()
            await self._settle(message, verdict)

    async def _settle(self, message: AbstractIncomingMessage, verdict: Verdict) -> None:
        """Where it goes next is confirmed before it is acknowledged here: twice rather than never."""
        if verdict.error is not None:
            to, headers = _dead(self._name), dict[str, Any]({_ERROR: verdict.error})
            if verdict.pause is not None:
                to, headers = _retry(self._name, verdict.pause), {_ATTEMPTS: _attempts(message) + 1}
            await _send(self._channel.default_exchange, to, _letter(message), headers)
        await message.ack()
        self._tally.note(verdict.outcome)

    async def _keep(self, message: AbstractIncomingMessage) -> None:
        """From the broker's dead letters into ours."""
        error = message.headers.get(_ERROR)
        if not isinstance(error, str):
            error = "whoever handled it died, again and again"
        async with self._pool.connection() as connection:
            await bury(connection, self._subscription.queue, _letter(message), error)
        await message.ack()


def _dead(name: str) -> str:
    return f"{name}.dead"


def _retry(name: str, seconds: float) -> str:
    return f"{name}.retry.{round(seconds * 1000)}"


async def _is_there(open_channel: _OpenChannel, name: str) -> bool:
    channel = await open_channel()
    try:
        await channel.declare_queue(name, passive=True, timeout=_CONFIRM_SECONDS)
    except ChannelNotFoundEntity:
        return False
    finally:
        await _closed(channel)
    return True


async def _exchange(channel: AbstractChannel, prefix: str) -> AbstractExchange:
    return await channel.declare_exchange(
        f"{prefix}.events", aio_pika.ExchangeType.TOPIC, durable=True, timeout=_CONNECT_SECONDS
    )


async def _queue(channel: AbstractChannel, name: str, arguments: dict[str, Any]) -> Any:
    return await channel.declare_queue(
        name, durable=True, arguments={"x-queue-type": "quorum", **arguments}, timeout=_CONFIRM_SECONDS
    )


async def _send(exchange: AbstractExchange, key: str, letter: Letter, headers: dict[str, Any]) -> None:
    """Returns when every queue it goes to has it on disk; raises when it goes to none."""
    await exchange.publish(
        aio_pika.Message(
            letter.body,
            message_id=letter.id,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers=headers,
        ),
        key,
        mandatory=True,
        timeout=_CONFIRM_SECONDS,
    )


def _letter(message: AbstractIncomingMessage) -> Letter:
    """Ours have an id; one that somebody else sent gets one by what it says."""
    return Letter(message.message_id or sha256(message.body).hexdigest(), message.body)


def _attempts(message: AbstractIncomingMessage) -> int:
    given = message.headers.get(_ATTEMPTS)
    return given if isinstance(given, int) and given >= 0 else 0


def _as_failure(error: BaseException) -> PublishFailed:
    if isinstance(error, PublishError):
        return Unroutable("it belongs to no queue")
    kind = "Nack" if isinstance(error, DeliveryError) else type(error).__name__
    # What it says about a channel is about queues and their arguments; about a connection it may be secret.
    why = f": {error}" if isinstance(error, AMQPChannelError) else ""
    return PublishFailed(f"the broker: {kind}{why}")


async def _closed(closeable: AbstractChannel | AbstractConnection) -> None:
    """Close what may be broken already, and do not wait for a broker that does not answer."""
    with suppress(*_BROKEN):
        async with asyncio.timeout(5):
            await closeable.close()
