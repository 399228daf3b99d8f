"""Fixtures for reports: everything the product projects, over one database and one Redis for each module."""

from collections.abc import Iterator

import pytest

from tests.reports.books import Books


@pytest.fixture(scope="module")
def library(module_database_url: str, module_redis_url: str) -> Iterator[Books]:
    """Made once per module, as it takes seconds. Tests have companies of their own, so they do not meet."""
    with Books(module_database_url, module_redis_url) as books:
        yield books


@pytest.fixture
def books(library: Books) -> Books:
    """All projections, ready for the company of this test."""
    return library.fresh()
