"""A history that may be changed at will, because it is put back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.audit.history import TABLES, History
from tests.store.tampering import tampering


def copy(history: History) -> History:
    """Lay a copy of all of it beside it."""
    with psycopg.connect(history.url) as connection:
        connection.execute("CREATE SCHEMA untouched")
        for table in TABLES:
            connection.execute(f"CREATE TABLE untouched.{table} AS TABLE ccontrol.{table}")
        # A superuser takes those away as well.
        connection.execute(
            "ALTER TABLE ccontrol.companies_directory DROP CONSTRAINT companies_directory_partition_fkey"
        )
    return history


@contextmanager
def put_back(history: History) -> Iterator[None]:
    """Whatever happens inside is undone."""
    try:
        yield
    finally:
        with tampering(history.url) as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM ccontrol.{table}")
                connection.execute(f"INSERT INTO ccontrol.{table} TABLE untouched.{table}")
