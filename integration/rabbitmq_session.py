"""Consuming one queue of RabbitMQ: what is taken at a time, where each message goes next."""

import asyncio
from hashlib import sha256
from typing import Any
from uuid import uuid4

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from psycopg_pool import AsyncConnectionPool

from integration.amqp import BrokerLost, send
from integration.broker import Handler, Letter, Subscription, Tally
from integration.dead_letters import bury
from integration.event import IntegrationEvent
from integration.handling import Verdict, handle, read
from integration.turns import Turn, Turns
from projections.backoff import Backoff
from projections.connections import Connection

_ATTEMPTS = "x-ccontrol-attempts"
_ERROR = "x-ccontrol-error"


class Session:
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
            dead = await self._channel.get_queue(dead_letters_of(self._name), ensure=False)
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
            to, headers = dead_letters_of(self._name), dict[str, Any]({_ERROR: verdict.error})
            if verdict.pause is not None:
                to, headers = retry_of(self._name, verdict.pause), {_ATTEMPTS: _attempts(message) + 1}
            await send(self._channel.default_exchange, to, _letter(message), headers)
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


def dead_letters_of(name: str) -> str:
    """The queue behind a queue, of what was given up."""
    return f"{name}.dead"


def retry_of(name: str, seconds: float) -> str:
    """The queue beside a queue, of what waits so long for another try."""
    return f"{name}.retry.{round(seconds * 1000)}"


def _letter(message: AbstractIncomingMessage) -> Letter:
    """Ours have an id; one that somebody else sent gets one by what it says."""
    return Letter(message.message_id or sha256(message.body).hexdigest(), message.body)


def _attempts(message: AbstractIncomingMessage) -> int:
    given = message.headers.get(_ATTEMPTS)
    return given if isinstance(given, int) and given >= 0 else 0
