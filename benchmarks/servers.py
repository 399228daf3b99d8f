"""A private, durable PostgreSQL for the length of a measurement, with a database for each peer."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from runtime.servers import PostgresServer

# The same for everybody. Durable: fsync, full_page_writes and synchronous_commit stay on. A checkpoint in
# the middle of somebody's turn would only be bad luck, so they are far apart.
_SETTINGS = {
    "shared_buffers": "512MB",
    "max_connections": "400",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "autovacuum_naptime": "10s",
}


@contextmanager
def durable_postgres(**settings: str) -> Iterator[PostgresServer]:
    """Started in a folder of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ccontrol-benchmark-") as folder:
        server = PostgresServer(Path(folder) / "postgres", settings={**_SETTINGS, **settings})
        server.start()
        try:
            yield server
        finally:
            server.stop()


def new_database(server: PostgresServer, name: str) -> str:
    """The URL of an empty database."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return server.url.rsplit("/", 1)[0] + f"/{name}"


def parts_of(url: str) -> dict[str, str]:
    """dbname, host, port, user, password: for those who do not take a URL."""
    return {name: str(value) for name, value in conninfo_to_dict(url).items()}
