"""The doors of a company, opened for each test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.doors.world import World, open_world


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    """A company in memory, with its doors."""
    world = await open_world()
    async with world.client:
        yield world
