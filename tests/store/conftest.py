"""What the tests of the store have in common: an open store and log on a database of the test's own."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest
import pytest_asyncio

from write_model.store.log import Log
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

# The library's suite imports its cipher module, which wants pycryptodome, for tests of ciphers we do not run.
_cipher = ModuleType("eventsourcing.cipher")
_cipher.AESCipher = object  # type: ignore[attr-defined]
sys.modules.setdefault("eventsourcing.cipher", _cipher)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.create(tmp_path / "root.key")


@pytest_asyncio.fixture
async def store(database_url: str, ring: KeyRing) -> AsyncIterator[Store]:
    opened = await Store.open(database_url, ring, uuid4)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def log(database_url: str, ring: KeyRing) -> AsyncIterator[Log]:
    opened = await Log.open(database_url, ring)
    yield opened
    await opened.close()
