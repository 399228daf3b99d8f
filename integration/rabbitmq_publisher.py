"""Publishing to RabbitMQ: many events at a time, in order within each stream, each confirmed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import PublishError

from integration.amqp import BROKEN, as_failure, close, declare_exchange, send
from integration.broker import Letter, Published, PublishFailed, Unroutable
from integration.event import IntegrationEvent
from projections.connections import stop_if_cancelled
from projections.side_by_side import side_by_side

# How many messages may be on their way at a time.
_WINDOW = 256


class RabbitPublisher:
    """A channel, opened when it is needed and left after any failure.

    After the leader of a queue died, a channel that had not published before may get Nacks for ever; a new
    one works. So every failure is a reason to open another.
    """

    def __init__(self, open_channel: Callable[[], Awaitable[Any]], prefix: str) -> None:
        self._open_channel = open_channel
        self._prefix = prefix
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None

    async def publish(self, events: Sequence[IntegrationEvent]) -> Published:
        """Many at a time, but one at a time of each stream: a Nack cannot let the next one overtake."""
        sending = _Sending()
        try:
            exchange = await self._ready()
        except BROKEN as error:
            sending.failure = as_failure(error)
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
            await close(channel)

    async def _ready(self) -> AbstractExchange:
        if self._channel is None or self._channel.is_closed or self._exchange is None:
            await self.close()
            self._channel = await self._open_channel()
            self._exchange = await declare_exchange(self._channel, self._prefix)
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
                    await send(exchange, event.routing_key, Letter(event.public_id, event.to_json()), {})
                except BROKEN as error:
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
            self.failure = as_failure(error)
