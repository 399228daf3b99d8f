"""Fixtures for reports: everything the product projects, over a database and a Redis of the test's own."""

from collections.abc import Iterator

import pytest

from tests.reports.books import Books


@pytest.fixture
def books(database_url: str, redis_url: str) -> Iterator[Books]:
    """All projections, with nothing folded yet."""
    with Books(database_url, redis_url) as opened:
        yield opened
