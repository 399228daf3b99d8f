"""The RabbitMQ publisher against a channel that misbehaves on purpose: Nacks, returns, a lost connection."""

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.commands import Basic

from integration.broker import Unroutable
from integration.event import from_json
from integration.rabbitmq_publisher import RabbitPublisher
from tests.integration.happenings import happening

pytestmark = pytest.mark.asyncio


class BadChannel:
    """Stands for channel and exchange. `fate` says what becomes of each message that is published."""

    def __init__(self, fate: Any, arrived: list[tuple[UUID, int]]) -> None:
        self._fate = fate
        self._arrived = arrived
        self.is_closed = False
        self.on_their_way: dict[UUID, int] = {}
        self.most_of_a_stream = 0

    async def declare_exchange(self, *_: Any, **__: Any) -> "BadChannel":
        return self

    async def publish(self, message: Any, key: str, *, mandatory: bool, timeout: float) -> None:
        event = from_json(message.body)
        assert mandatory
        assert (message.message_id, key) == (event.public_id, event.routing_key)
        assert int(message.delivery_mode) == 2
        stream = event.stream_id
        self.on_their_way[stream] = self.on_their_way.get(stream, 0) + 1
        self.most_of_a_stream = max(self.most_of_a_stream, self.on_their_way[stream])
        try:
            fate = self._fate()
            if fate is None or fate == "lost":
                self._arrived.append((stream, event.version))
            await asyncio.sleep(random.uniform(0, 0.002))
            if isinstance(fate, BaseException):
                raise fate
            if fate == "lost":
                # What the library does to those who wait when the channel goes.
                raise asyncio.CancelledError
        finally:
            self.on_their_way[stream] -= 1

    async def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_the_channel_does_no_event_overtakes_another_of_its_stream(seed: int) -> None:
    dice = random.Random(seed)
    arrived: list[tuple[UUID, int]] = []
    opened: list[BadChannel] = []

    def fate() -> Any:
        return dice.choices(
            [None, DeliveryError(None, Basic.Nack()), ChannelInvalidStateError(), "lost", OSError()],
            [90, 4, 2, 2, 2],
        )[0]

    async def open_channel() -> BadChannel:
        if dice.random() < 0.2:
            raise ConnectionRefusedError
        opened.append(BadChannel(fate, arrived))
        return opened[-1]

    publisher = RabbitPublisher(open_channel, "test")
    waiting = [happening(f"stream {n % 6}", n // 6 + 1) for n in range(180)]
    everything = {(event.stream_id, event.version) for event in waiting}
    for _ in range(1_000):
        channels = len(opened)
        published = await publisher.publish(waiting)
        waiting = [event for event in waiting if event.id not in published.confirmed]
        if published.failure is None:
            break
        # What has failed is left, whatever it failed with.
        assert all(channel.is_closed for channel in opened)
        assert len(opened) in (channels, channels + 1)
    assert waiting == []
    assert set(arrived) == everything
    assert len(opened) > 3
    assert all(channel.most_of_a_stream == 1 for channel in opened)
    for stream in {stream for stream, _ in arrived}:
        firsts = list(dict.fromkeys(version for of, version in arrived if of == stream))
        assert firsts == list(range(1, 31))


async def test_a_returned_message_is_named_before_other_troubles() -> None:
    # Not made as the library makes it, which wants the frames of a real one.
    fates: list[BaseException] = [OSError(), PublishError.__new__(PublishError)]

    async def open_channel() -> BadChannel:
        return BadChannel(lambda: fates.pop(0) if fates else None, [])

    published = await RabbitPublisher(open_channel, "test").publish([happening("a"), happening("b")])
    assert published.confirmed == frozenset()
    assert isinstance(published.failure, Unroutable)


async def test_a_cancelled_publisher_is_cancelled() -> None:
    class Endless(BadChannel):
        async def publish(self, *_: Any, **__: Any) -> None:
            await asyncio.sleep(600)

    async def open_endless() -> BadChannel:
        return Endless(lambda: None, [])

    task = asyncio.create_task(RabbitPublisher(open_endless, "test").publish([happening()]))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
