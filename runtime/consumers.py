"""Who deals with the events of which queue: a handler for every line of `integration/subscriptions.py`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from integration.consumers import Consumer
from runtime.settings import Settings
from runtime.webhooks_process import webhooks_consumer


@asynccontextmanager
async def consumers_of(settings: Settings) -> AsyncIterator[Sequence[Consumer]]:
    """All of them, with whatever they need connected; closed at the end."""
    async with webhooks_consumer(settings) as webhooks:
        yield (webhooks,)
