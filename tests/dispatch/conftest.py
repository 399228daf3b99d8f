"""A real store, and dispatchers over it as several processes would have them."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest_asyncio

from write_model.store.personal_data import KeyRing
from write_model.store.store import Store
from write_model.values.identifiers import uuid7


class Ids:
    """Ordered ids, without a clock."""

    def __init__(self) -> None:
        self._milliseconds = 1

    def new(self) -> UUID:
        self._milliseconds += 1
        return uuid7(self._milliseconds, os.urandom(10))


@pytest_asyncio.fixture
async def store(database_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    """A store over a fresh database."""
    made = await Store.open(database_url, KeyRing.create(tmp_path / "root.key"), Ids().new)
    yield made
    await made.close()
