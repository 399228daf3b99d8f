"""The schema of the store as a chain of revisions, run from the installed package.

`upgrade` may be called by every process at its start and by many at once: they queue on a lock and all but
the first find nothing to do.
"""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, pool

__all__ = ["PARTITIONS", "SCHEMA", "current", "upgrade"]

SCHEMA = "ccontrol"
PARTITIONS = 8
"""How many partitions a new store gets; an existing one keeps the number it was created with."""

# Alembic keeps what it works on in global variables. Other processes are kept out by a lock of the database.
_ONE_AT_A_TIME = threading.Lock()


def upgrade(url: str, revision: str = "head", *, partitions: int = PARTITIONS) -> None:
    """Bring the database at `url` to `revision`. `partitions` only matters when the store is created."""
    with _ONE_AT_A_TIME:
        command.upgrade(_configuration(url, partitions), revision)


def current(url: str) -> str | None:
    """The revision the database is at; None when it has never been migrated."""
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
        return context.get_current_revision()


def sqlalchemy_url(url: str) -> str:
    """SQLAlchemy takes a bare `postgresql://` for psycopg2, which is not what is installed."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg{separator}{rest}" if scheme in ("postgresql", "postgres") else url


def _configuration(url: str, partitions: int) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent))
    # As an attribute, not an option: the configuration parser would interpolate a % in a password.
    configuration.attributes["url"] = sqlalchemy_url(url)
    configuration.attributes["partitions"] = partitions
    return configuration
