"""The SQL side of the read model: how its tables are declared and how a question opens them.

A read table is declared once with `read_table`. Questions see it as the view `read.<name>`; the rows are in
`read.<name>_g<generation>`, so that a rebuild can fill another generation beside the one being served.
"""

import select
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import Column, Index, MetaData, PrimaryKeyConstraint, SmallInteger, Table, Uuid, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

SCHEMA = "read"
METADATA = MetaData(schema=SCHEMA)

# No report takes this long; whoever asked has given up.
_QUESTION_MILLISECONDS_MAX = 30_000
SILENCE_ENDS: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""How to connect so that a database that vanished without a word is noticed, by listeners as well."""

Driver = psycopg.AsyncConnection[tuple[Any, ...]]


# Identifiers end at 63 bytes, and physical names carry `_g<generation>` behind the name.
_NAME_LENGTH_MAX = 54


class BadReadTable(ValueError):
    """A table asks for something that projections cannot keep."""


def read_table(name: str, *parts: Column[Any] | Index, metadata: MetaData = METADATA) -> Table:
    """Declare a read table. `company_id` and `partition` are added; mark the other key columns `primary_key`.

    The key becomes (company_id, your key columns, partition): rows of a company are together, and the table
    distributes by partition. A column that may be left out of a row is nullable or has a plain `default`.
    """
    columns = [part for part in parts if isinstance(part, Column)]
    indexes = [part for part in parts if isinstance(part, Index)]
    for column in columns:
        _check_column(name, column)
    for index in indexes:
        _check_index(name, index)
    _check_length(name)
    key = [column.name for column in columns if column.primary_key]
    for column in columns:
        column.primary_key = False  # the constraint below says it, in our order
    return Table(
        name,
        metadata,
        Column("company_id", Uuid, nullable=False),
        *columns,
        Column("partition", SmallInteger, nullable=False),
        PrimaryKeyConstraint("company_id", *key, "partition"),
        *indexes,
    )


def _check_column(name: str, column: Column[Any]) -> None:
    if column.server_default is not None or column.onupdate is not None or column.foreign_keys:
        raise BadReadTable(f"{name}.{column.name}: no server default, onupdate or foreign key")
    if column.unique:
        raise BadReadTable(f"{name}.{column.name}: a read table takes no unique column but its key")
    if column.default is not None and not column.default.is_scalar:
        raise BadReadTable(f"{name}.{column.name}: a default is a plain value, or a rebuild would differ")


def _check_index(name: str, index: Index) -> None:
    if index.unique:
        # Operations are merged and reordered by key, so nothing across keys may depend on their order.
        raise BadReadTable(f"{name}: a read table takes no unique index but its key")
    if index.name is None:
        raise BadReadTable(f"{name}: an index needs a name")
    _check_length(str(index.name))


def _check_length(name: str) -> None:
    if len(name) > _NAME_LENGTH_MAX:
        raise BadReadTable(f"{name}: longer than {_NAME_LENGTH_MAX} characters")


def open_engine(database_url: str, *, pool_size: int = 8) -> AsyncEngine:
    """An engine whose connections are the application's role, bound by row level security."""
    engine = create_async_engine(
        make_url(database_url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=False,
        connect_args={
            "options": "-c role=ccontrol_app -c jit=off "
            f"-c statement_timeout={_QUESTION_MILLISECONDS_MAX} "
            # Between two statements of a question there is only our own work.
            f"-c idle_in_transaction_session_timeout={_QUESTION_MILLISECONDS_MAX}",
            "application_name": "ccontrol-reads",
            **SILENCE_ENDS,
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_the_dead)
    return engine


def _refuse_the_dead(_: object, record: ConnectionPoolEntry, __: object) -> None:
    """After a restart every idle connection is dead, and nobody's question should fail for that.

    The server says nothing to an idle connection but that it ends; so where there is something to read, all
    are let go, and the pool connects anew. That costs no round trip, as asking would.
    """
    driver = record.driver_connection
    if not isinstance(driver, psycopg.AsyncConnection):
        raise TypeError("not a connection of open_engine")
    heard = select.poll()
    if not driver.closed:
        heard.register(driver.fileno(), select.POLLIN)
    if driver.closed or heard.poll(0):
        raise InvalidatePoolError


@asynccontextmanager
async def reading(engine: AsyncEngine, company_id: UUID) -> AsyncIterator[AsyncConnection]:
    """One snapshot of one company's rows: everything asked inside agrees with everything else."""
    async with snapshot(engine, company_id) as (connection, _):
        yield connection


@asynccontextmanager
async def snapshot(
    engine: AsyncEngine, company_id: UUID, partition: int = 0, projections: tuple[str, ...] = ()
) -> AsyncIterator[tuple[AsyncConnection, Sequence[tuple[Any, ...]]]]:
    """The same, and how far these projections are in it: rows of `read.look`."""
    # One round trip instead of four, for every question there is; the driver does that for statements
    # without parameters, and a UUID is its own quoting. A promotion takes the lock exclusively, and LOCK
    # comes before the snapshot is taken, so a snapshot is wholly before or wholly after a promotion,
    # never old rows through a new view.
    whose = f"'{UUID(int=company_id.int)}', {_arguments(partition, projections)}"
    opening = (
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; "  # noqa: S608  # of nothing anybody sent
        f"LOCK TABLE {SCHEMA}.projections IN ACCESS SHARE MODE; "
        f"SELECT * FROM {SCHEMA}.look({whose})"
    )
    connection, rows = await _opened(engine, opening)
    try:
        yield connection, rows
    finally:
        await _give_back(connection)


@lru_cache(maxsize=1000)
def _arguments(partition: int, projections: tuple[str, ...]) -> str:
    return f"{int(partition)}::smallint, {sql.Literal(list(projections)).as_string()}::text[]"


async def _opened(engine: AsyncEngine, opening: str) -> tuple[AsyncConnection, Sequence[tuple[Any, ...]]]:
    connection = await engine.connect()
    try:
        return connection, await _rows_of_last(_driver(connection), opening)
    except psycopg.Error as error:
        await _give_back(connection)
        raise DBAPIError.instance(opening, None, error, psycopg.Error) from error
    except BaseException:
        await _give_back(connection)
        raise


async def _rows_of_last(driver: Driver, statements: str) -> Sequence[tuple[Any, ...]]:
    """Past SQLAlchemy, which sees the first of several results only."""
    # Or the driver would send a BEGIN of its own before it, and wait for that.
    await driver.set_autocommit(True)
    cursor = await driver.execute(statements)
    while cursor.nextset():
        pass
    return await cursor.fetchall()


async def _give_back(connection: AsyncConnection) -> None:
    """To the pool, as it was: or not at all, when that does not succeed."""
    try:
        driver = _driver(connection)
        await driver.rollback()
        await driver.set_autocommit(False)
    except BaseException as error:
        await connection.invalidate(error)
        if not isinstance(error, psycopg.Error):
            raise
    finally:
        await connection.close()


def _driver(connection: AsyncConnection) -> Driver:
    pooled = connection.sync_connection
    driver = None if pooled is None else pooled.connection.driver_connection
    if not isinstance(driver, psycopg.AsyncConnection):
        raise TypeError("not a connection of open_engine")
    return driver
