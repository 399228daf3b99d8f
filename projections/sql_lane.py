"""The SQL lane: rows and checkpoint commit in one transaction, so every event counts exactly once."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import Table

from projections.batch import Batch, Identity, Rows, TableShape
from projections.bookkeeping import CHECKPOINT_MOVED, LEASE_LOST
from projections.connections import Connection
from projections.fold import HandlerFailed
from projections.lane import CheckpointMoved, Follower, LeaseLost
from projections.projector import SqlProjection
from projections.table_writer import physical, write
from write_model.message import Recorded

_ADVANCE = (
    "SELECT read.advance(%s::text, %s::smallint, %s::text, %s::bigint, %s::text[], %s::integer[], "
    "%s::bigint[], %s::bigint, %s::timestamptz)"
)
_POSITIONS = """
SELECT c.projection, c.position FROM read.checkpoints c
    JOIN unnest(%s::text[], %s::integer[]) AS u (name, generation)
        ON c.projection = u.name AND c.generation = u.generation
    WHERE c.partition = %s
"""

_shapes: dict[Table, TableShape] = {}


def shapes_of(projection: SqlProjection) -> Mapping[Table, TableShape]:
    """What merging must know of the tables of a projection."""
    for table in projection.tables:
        if table not in _shapes:
            _shapes[table] = TableShape(table)
    return {table: _shapes[table] for table in projection.tables}


class SqlLane:
    """Applies pages through a pool of connections, or through one connection inside its transaction."""

    # Readers wait for these rows.
    gather_seconds = 0.002

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool

    async def locate(self, followers: Sequence[Follower], head: int) -> None:
        """Read the checkpoints; a projection without one is not registered here yet."""
        names = [follower.name for follower in followers]
        generations = [follower.generation for follower in followers]
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_POSITIONS, (names, generations, followers[0].partition))
            positions: dict[str, int] = dict(await cursor.fetchall())
        for follower in followers:
            if follower.name not in positions:
                raise CheckpointMoved(f"{follower.name} has no checkpoint")
            follower.position = positions[follower.name]

    async def apply(self, follower: Follower, events: Sequence[Recorded], *, at_head: bool) -> None:
        """One transaction: fence, checkpoint, rows; one round trip when no prior rows are needed."""
        async with self._pool.connection() as connection:
            await apply_through(connection, follower, events)

    async def apply_all(
        self, followers: Sequence[Follower], events: Sequence[Recorded], *, at_head: bool
    ) -> None:
        """The same for all of them in one transaction: at the head, transactions are what costs."""
        async with self._pool.connection() as connection:
            await _apply(connection, followers, events)

    async def verify(self, followers: Sequence[Follower]) -> None:
        """Rows do not get lost while nobody looks."""

    async def advance(
        self, followers: Sequence[Follower], position: int, recorded_at: datetime | None, *, at_head: bool
    ) -> None:
        """One statement for all of them."""
        async with self._pool.connection() as connection:
            try:
                await connection.execute(_ADVANCE, _advance_arguments(followers, position, recorded_at))
            except psycopg.Error as error:
                _raise_fenced(error)
                raise
        for follower in followers:
            follower.position = position


async def apply_through(connection: Connection, follower: Follower, events: Sequence[Recorded]) -> None:
    """Apply a page on this connection: as a transaction, or as a savepoint of the one it is in."""
    await _apply(connection, [follower], events)


async def _apply(connection: Connection, followers: Sequence[Follower], events: Sequence[Recorded]) -> None:
    batches = [await _folded(connection, follower, events) for follower in followers]
    last = events[-1]
    try:
        # A pipeline sends BEGIN, the statements and COMMIT together; a failure undoes all of them.
        async with connection.pipeline(), connection.transaction():
            await connection.execute(_ADVANCE, _advance_arguments(followers, last.position, last.recorded_at))
            for follower, batch in zip(followers, batches, strict=True):
                await write(connection, batch, follower.generation)
    except psycopg.Error as error:
        _raise_fenced(error)
        raise
    for follower in followers:
        follower.position = last.position


async def _folded(connection: Connection, follower: Follower, events: Sequence[Recorded]) -> Batch:
    projection = follower.folder.projection
    assert isinstance(projection, SqlProjection)  # noqa: S101  # the roster keeps the lanes apart
    batch = Batch(shapes_of(projection))
    relevant = follower.folder.relevant(events, follower.skipped)
    if relevant and type(projection).prepare is not SqlProjection.prepare:
        # Outside the transaction on purpose: these rows change only together with the checkpoint, and a
        # checkpoint that moved since is refused.
        reader = PriorRows(connection, batch, follower, {recorded.company_id for recorded in relevant})
        try:
            await projection.prepare(reader, relevant)
        except psycopg.Error:
            raise
        except Exception as error:
            raise HandlerFailed("prepare") from error
    follower.folder.fold_rows(batch, relevant)
    return batch


class PriorRows:
    """The reader given to `prepare`."""

    def __init__(
        self, connection: Connection, batch: Batch, follower: Follower, companies: Iterable[UUID]
    ) -> None:
        self._connection = connection
        self._batch = batch
        self._follower = follower
        self._companies = list(companies)

    async def load(self, table: Table, keys: Sequence[Mapping[str, Any]]) -> None:
        """Make the rows with these keys known to `batch.row`, or known to be missing.

        A key without `company_id` is looked up in every company of the page.
        """
        operations = self._batch.of(table)
        shape = operations.shape
        wanted = {
            shape.identity(company, key)
            for company in self._companies
            for key in keys
            if key.get("company_id", company) == company
        }
        for identity in wanted:
            operations.loaded.setdefault(identity, None)
        if wanted:
            values = {name: list({key[name] for key in keys}) for name in shape.own}
            await self._select(table, values, only=wanted)

    async def load_where(self, table: Table, **values: Sequence[Any]) -> Rows:
        """Make known, and return, the rows whose columns have one of the given values."""
        return await self._select(table, values)

    async def _select(
        self, table: Table, values: Mapping[str, Sequence[Any]], only: set[Identity] | None = None
    ) -> Rows:
        operations = self._batch.of(table)
        shape = operations.shape
        conditions = ["company_id = ANY(%s)", "partition = %s", *[f'"{name}" = ANY(%s)' for name in values]]
        cursor = await self._connection.execute(
            f"SELECT {', '.join(shape.columns)} FROM {physical(table.name, self._follower.generation)} "  # noqa: S608
            f"WHERE {' AND '.join(conditions)}",
            (self._companies, self._follower.partition, *[list(given) for given in values.values()]),
        )
        rows = [dict(zip(shape.columns, row, strict=True)) for row in await cursor.fetchall()]
        for row in rows:
            identity = shape.identity(row["company_id"], row)
            if only is None or identity in only:
                operations.loaded[identity] = row
        return rows


def _advance_arguments(
    followers: Sequence[Follower], position: int, recorded_at: datetime | None
) -> tuple[Any, ...]:
    first = followers[0]
    fence = first.fence
    return (
        fence.lane if fence else None,
        first.partition,
        fence.owner if fence else None,
        fence.epoch if fence else None,
        [follower.name for follower in followers],
        [follower.generation for follower in followers],
        [follower.position for follower in followers],
        position,
        recorded_at,
    )


def _raise_fenced(error: psycopg.Error) -> None:
    """Our own error codes become our own exceptions."""
    if error.sqlstate == LEASE_LOST:
        raise LeaseLost(str(error)) from error
    if error.sqlstate == CHECKPOINT_MOVED:
        raise CheckpointMoved(str(error)) from error
