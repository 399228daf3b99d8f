"""Holding a build against what is served, both at the positions of one snapshot."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from projections.building import Build
from projections.comparison import Comparison, Side, compare_table
from projections.connections import Connection, connect
from projections.generations import tables_of
from projections.premises import Premises
from projections.promotion import generations_of, positions_of
from projections.redis_comparison import compare_views


async def compare_with_live(
    premises: Premises, connection: Connection, build: Build, *, jobs: int, sample_rows: int
) -> Comparison | None:
    """What differs; None where what is served is behind the build, for a fold cannot go back."""
    live = next(g for g in await generations_of(connection, build.name) if g.status == "live")
    if build.projection.lane == "redis":
        return await compare_views(
            premises.redis_lane, live.generation, build, jobs=jobs, sample_rows=sample_rows
        )
    async with (
        await connect(premises.database_url, name="comparison", patient=True) as snapshot,
        _unhurried(snapshot),
        _unhurried(connection),
    ):
        await snapshot.set_read_only(True)
        async with snapshot.transaction():
            await snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            positions = await positions_of(snapshot, build.name, live.generation)
            await build.fold_to(positions, jobs=jobs, phase="compare")
            if build.positions != positions:
                return None
            tables = [
                await compare_table(
                    table.name,
                    [column.name for column in table.primary_key.columns],
                    Side(snapshot, live.generation),
                    Side(connection, build.generation),
                    sample_rows=sample_rows,
                )
                for table in tables_of(type(build.projection))
                if table.name in live.tables
            ]
    return Comparison(build.name, positions, tuple(tables))


@asynccontextmanager
async def _unhurried(connection: Connection) -> AsyncIterator[None]:
    """Both sides of a comparison wait for each other inside of a transaction, and keep nobody out."""
    await connection.execute("SET idle_in_transaction_session_timeout = 0")
    try:
        yield
    finally:
        if not connection.closed:
            await connection.execute("RESET idle_in_transaction_session_timeout")
