"""Switching from one generation to another: a reader sees wholly the one or wholly the other, no error."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import psycopg

from projections.announcer import announce_everything
from projections.connections import Connection
from projections.generations import drop_tables, point_views

# While we wait for the lock, new readers queue behind us: so wait shortly, and often.
_LOCK_TRIES = 200
_LOCK_TIMEOUT = "150ms"
_LOCK_PAUSE_SECONDS = 0.1


class PromotionBlocked(Exception):
    """A long-running question kept the tables of a projection locked all the time."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation as it is recorded."""

    generation: int
    version: int
    shape: str
    status: str
    tables: tuple[str, ...]
    indexed: bool


async def generations_of(connection: Connection, projection: str) -> list[Generation]:
    """All there are of a projection, oldest first."""
    cursor = await connection.execute(
        "SELECT generation, version, shape, status, tables, indexed FROM read.generations "
        "WHERE projection = %s ORDER BY generation",
        (projection,),
    )
    return [
        Generation(generation, version, shape, status, tuple(tables), indexed)
        for generation, version, shape, status, tables, indexed in await cursor.fetchall()
    ]


async def is_live(connection: Connection, projection: str, generation: int) -> bool:
    """Whether this is the generation being served."""
    known = await generations_of(connection, projection)
    return any(found.generation == generation and found.status == "live" for found in known)


async def positions_of(connection: Connection, projection: str, generation: int) -> dict[int, int]:
    """The checkpoints of one generation."""
    cursor = await connection.execute(
        "SELECT partition, position FROM read.checkpoints WHERE projection = %s AND generation = %s",
        (projection, generation),
    )
    return dict(await cursor.fetchall())


async def live_positions(connection: Connection, projection: str) -> dict[int, int]:
    """The checkpoints of the generation being served."""
    live = next(g for g in await generations_of(connection, projection) if g.status == "live")
    return await positions_of(connection, projection, live.generation)


async def front_of_tables(connection: Connection) -> dict[int, int]:
    """Where those projections in tables are that are served and run, by partition: they fold together.

    A partition is missing in which none runs, as all have stopped, or has folded anything yet.
    """
    cursor = await connection.execute(
        "SELECT c.partition, max(c.position) FROM read.projections p "
        "JOIN read.checkpoints c ON c.projection = p.name AND c.generation = p.generation "
        "WHERE p.lane = 'sql' AND NOT p.paused AND NOT EXISTS (SELECT FROM read.failures f "
        "WHERE f.projection = p.name AND f.partition = c.partition AND f.resolved_at IS NULL) "
        "GROUP BY c.partition HAVING max(c.position) > 0"
    )
    return dict(await cursor.fetchall())


async def switch(
    connection: Connection,
    projection: str,
    generation: int,
    *,
    last_steps: Callable[[Connection], Awaitable[bool]] | None = None,
    pause_reason: str | None = None,
) -> bool:
    """Serve this generation instead of the present one, which is kept; in one transaction.

    Everybody who reads or writes rows holds a shared lock on `read.projections` to the end of the
    transaction, so under the exclusive lock there is no one. `last_steps` runs then; where it says no,
    nothing is switched.
    """
    for _ in range(_LOCK_TRIES):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                # What was said to be served is served after a crash as well.
                await connection.execute("SET LOCAL synchronous_commit = on")
                await connection.execute("LOCK TABLE read.projections IN ACCESS EXCLUSIVE MODE")
                if last_steps is not None and not await last_steps(connection):
                    return False
                await _switch(connection, projection, generation, pause_reason)
            await announce_everything(connection)
            return True
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            await asyncio.sleep(_LOCK_PAUSE_SECONDS)
    raise PromotionBlocked(projection)


async def _switch(connection: Connection, projection: str, generation: int, pause_reason: str | None) -> None:
    known = {found.generation: found for found in await generations_of(connection, projection)}
    live = next(found for found in known.values() if found.status == "live")
    if live.tables or known[generation].tables:
        await point_views(connection, known[generation].tables, generation, live.tables)
    await connection.execute(
        "UPDATE read.generations SET status = CASE WHEN generation = %s THEN 'live' ELSE 'kept' END, "
        "promoted_at = CASE WHEN generation = %s THEN clock_timestamp() ELSE promoted_at END "
        "WHERE projection = %s AND generation IN (%s, %s)",
        (generation, generation, projection, generation, live.generation),
    )
    await connection.execute(
        "UPDATE read.projections SET generation = %s, paused = paused OR %s, reason = coalesce(%s, reason), "
        "changed_at = clock_timestamp() WHERE name = %s",
        (generation, pause_reason is not None, pause_reason, projection),
    )
    # What the former generation could not fold, this one has, or will meet again by itself.
    await connection.execute(
        "UPDATE read.failures SET resolved_at = clock_timestamp() "
        "WHERE projection = %s AND resolved_at IS NULL",
        (projection,),
    )


async def discard(connection: Connection, projection: str, doomed: Sequence[Generation]) -> None:
    """Drop generations nobody is served from, with their bookkeeping."""
    for generation in doomed:
        async with connection.transaction():
            await drop_tables(connection, generation.tables, generation.generation)
            await connection.execute(
                "DELETE FROM read.checkpoints WHERE projection = %s AND generation = %s",
                (projection, generation.generation),
            )
            await connection.execute(
                "DELETE FROM read.generations WHERE projection = %s AND generation = %s AND status <> 'live'",
                (projection, generation.generation),
            )
