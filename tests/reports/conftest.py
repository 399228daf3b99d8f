"""Fixtures for reports: everything the product projects, over one database and one Redis for each module."""

import os
import re
import uuid
from collections.abc import Iterator

import psycopg
import pytest
import redis
from psycopg import sql

from tests.reports.books import Books


@pytest.fixture(scope="module")
def library(postgres_server: str, migrated_template: str, redis_server: str) -> Iterator[Books]:
    """Made once per module, as it takes seconds. Tests have companies of their own, so they do not meet."""
    name = f"reports_{uuid.uuid4().hex}"
    owner = psycopg.connect(re.sub(r"/[^/]*$", "/postgres", postgres_server), autocommit=True)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    redis_url = f"{redis_server.rsplit('/', 1)[0]}/{1 + int(worker.removeprefix('gw'))}"
    with owner, redis.Redis.from_url(redis_url) as client:
        owner.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(migrated_template)
            )
        )
        client.flushdb()
        with Books(re.sub(r"/[^/]*$", f"/{name}", postgres_server), redis_url) as books:
            yield books
        client.flushdb()
        owner.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def books(library: Books) -> Books:
    """All projections, ready for the company of this test."""
    return library.fresh()
