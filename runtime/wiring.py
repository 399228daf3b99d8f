"""Puts the parts of a process together: the only place that knows which clock, ids and keys they get."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

from api.commands import load_commands
from runtime.settings import Settings
from write_model.dispatch import Dispatcher
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store
from write_model.values.identifiers import uuid7

_RANDOM_BYTES = 10


class SystemIds:
    """Time-ordered ids from the machine's clock and randomness."""

    def new(self) -> UUID:
        """A new id."""
        return uuid7(time.time_ns() // 1_000_000, os.urandom(_RANDOM_BYTES))


def system_clock() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[tuple[Store, Dispatcher]]:
    """The write side: a store and the dispatcher over it."""
    load_commands()
    ids = SystemIds()
    store = await Store.open(settings.database_url, KeyRing.create(settings.root_key), ids.new)
    try:
        yield store, Dispatcher(store, ids)
    finally:
        await store.close()
