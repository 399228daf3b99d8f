"""A store whose every connection passes through a wire that tests may break."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.conftest import fresh_database
from tests.faults.proxy import Proxy
from write_model.store.log import Log
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.create(tmp_path / "root.key")


@pytest.fixture(scope="module")
def database_url(postgres_server: str, migrated_template: str) -> Iterator[str]:
    """One for all tests of a module: each has companies of its own."""
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


@pytest_asyncio.fixture
async def wire(database_url: str) -> AsyncIterator[Proxy]:
    """Between the store and PostgreSQL."""
    proxy = await Proxy.before(database_url)
    yield proxy
    await proxy.close()


@pytest_asyncio.fixture
async def store(wire: Proxy, database_url: str, ring: KeyRing) -> AsyncIterator[Store]:
    opened = await Store.open(wire.url(database_url), ring, uuid4)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def log(database_url: str, ring: KeyRing) -> AsyncIterator[Log]:
    """What is really recorded, read past the wire."""
    opened = await Log.open(database_url, ring)
    yield opened
    await opened.close()
