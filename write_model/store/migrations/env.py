"""Alembic's entry: one connection, one transaction for all revisions, one migrating process at a time."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from write_model.store.migrations import SCHEMA

# Any number that nothing else in this database locks.
_LOCK = 0x6363_6D69_6772


def _run() -> None:
    engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        # Alembic keeps its own table in this schema, so the schema cannot wait for the first revision.
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        context.configure(
            connection=connection,
            version_table_schema=SCHEMA,
            transaction_per_migration=False,
            partitions=context.config.attributes["partitions"],
        )
        with context.begin_transaction():
            context.run_migrations()


_run()
