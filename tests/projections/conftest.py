"""Fixtures for projections."""

import pytest
import pytest_asyncio

from projections.bookkeeping import ensure
from tests.projections.bench import Bench
from tests.projections.sample import FakeLog


@pytest_asyncio.fixture
async def read_url(database_url: str) -> str:
    """A database that projections can live in."""
    await ensure(database_url)
    return database_url


@pytest.fixture
def bench(read_url: str, redis_url: str) -> Bench:
    return Bench(read_url, redis_url)


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()
