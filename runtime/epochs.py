"""A process that serves notices that the store was restored, and keeps nothing of the lost history."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from read_model.cache import Views
from read_model.freshness import Freshnesses
from write_model.dispatch import Dispatcher
from write_model.store import epoch
from write_model.store.store import Store

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def following_epoch(
    database_url: str, store: Store, dispatcher: Dispatcher, views: Views, freshness: Freshnesses
) -> AsyncIterator[None]:
    """For as long as the process serves. Streams notice by themselves that `store.epoch` is another one."""

    def enter(number: int) -> None:
        _log.warning("store_epoch_changed", former=store.epoch, epoch=number)
        dispatcher.forget()
        freshness.forget()
        views.enter(number)
        # Last, as it is what answers are stamped with.
        store.epoch = number

    def lose() -> None:
        _log.error("history_lost", epoch=store.epoch, hint="ccontrol store raise-epoch")
        dispatcher.forget()
        freshness.forget()

    store.history_lost = lose
    watching = asyncio.create_task(epoch.watch(database_url, store.epoch, enter), name="epoch")
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
