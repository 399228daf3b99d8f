"""A post office for each test, in a database of the module."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.webhooks.post_office import PostOffice, furnish, open_post_office


@pytest.fixture(scope="module")
def furnished(module_database_url: str) -> str:
    """Made once per module, as it takes a while; tests have companies of their own."""
    asyncio.run(furnish(module_database_url))
    return module_database_url


@pytest_asyncio.fixture
async def office(furnished: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PostOffice]:
    """Receivers are on this machine, where nothing may be called otherwise."""
    monkeypatch.setattr("integration.webhooks.calling.is_public", lambda address: address == "127.0.0.1")
    async with open_post_office(furnished) as opened:
        yield opened
