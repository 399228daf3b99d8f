"""A consumer that writes down what it gets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from integration.broker import Broker, Subscription
from integration.event import IntegrationEvent

PATIENCE_SECONDS = 60.0

Reaction = Callable[[IntegrationEvent], Awaitable[None]]


class Listener:
    """What arrived, in order; `reaction`, if any, is what the handler does before it returns."""

    def __init__(self, reaction: Reaction | None = None) -> None:
        self.heard: list[IntegrationEvent] = []
        self._reaction = reaction
        self._changed = asyncio.Condition()

    async def __call__(self, event: IntegrationEvent) -> None:
        self.heard.append(event)
        async with self._changed:
            self._changed.notify_all()
        if self._reaction is not None:
            await self._reaction(event)

    def ids(self) -> set[UUID]:
        return {event.id for event in self.heard}

    def first_versions(self) -> dict[UUID, list[int]]:
        """The versions of each stream in the order of their first delivery."""
        found: dict[UUID, dict[int, None]] = {}
        for event in self.heard:
            found.setdefault(event.stream_id, {}).setdefault(event.version)
        return {stream: list(versions) for stream, versions in found.items()}

    async def until(self, reached: Callable[[], bool], patience: float = PATIENCE_SECONDS) -> None:
        """Until something is so; looked at whenever an event arrives."""
        async with asyncio.timeout(patience), self._changed:
            await self._changed.wait_for(reached)

    async def all_of(self, events: Sequence[IntegrationEvent], patience: float = PATIENCE_SECONDS) -> None:
        """Until each of these has arrived."""
        wanted = {event.id for event in events}
        await self.until(lambda: wanted <= self.ids(), patience)


@asynccontextmanager
async def consuming(broker: Broker, subscription: Subscription, listener: Reaction) -> AsyncIterator[None]:
    """The consumer runs inside this block."""
    task = asyncio.create_task(broker.consume(subscription, listener))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        # It never ends by itself, and not with an error.
        assert task.cancelled(), task.exception()


async def eventually(check: Callable[[], Awaitable[bool]], patience: float = PATIENCE_SECONDS) -> None:
    """Poll until it is so."""
    async with asyncio.timeout(patience):
        while not await check():  # noqa: ASYNC110  # what is waited for happens in other processes
            await asyncio.sleep(0.02)


async def first_of(*waiting: Coroutine[Any, Any, None]) -> None:
    """Until one of these is done."""
    tasks = [asyncio.ensure_future(each) for each in waiting]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
