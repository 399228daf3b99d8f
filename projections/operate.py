"""What an operator does to a projection: pause, resume, skip. Each takes effect within a second."""

from projections.announcer import announce_everything
from projections.connections import connect
from projections.rebuild import UnknownProjection


class SkipRefused(Exception):
    """An event of the books may not be left out, unless the glass is broken."""


class NotStopped(LookupError):
    """The projection is not stopped at this event, so there is nothing to skip."""


async def pause(database_url: str, name: str, reason: str) -> None:
    """Stop folding; what is there goes on being served, marked stale."""
    await _set_paused(database_url, name, True, reason)


async def resume(database_url: str, name: str) -> None:
    """Fold again, from the event it was paused or stopped at."""
    async with await connect(database_url, name="operator") as connection:
        await connection.execute(
            "UPDATE read.failures SET resolved_at = clock_timestamp() "
            "WHERE projection = %s AND resolved_at IS NULL",
            (name,),
        )
    await _set_paused(database_url, name, False, None)


async def skip(
    database_url: str,
    name: str,
    partition: int,
    position: int,
    *,
    reason: str,
    actor: str,
    break_glass: bool = False,
) -> None:
    """Leave out the event a projection is stopped at, and resume. Recorded for ever, also by rebuilds."""
    async with await connect(database_url, name="operator") as connection:
        cursor = await connection.execute(
            "SELECT p.klass, f.position IS NOT NULL FROM read.projections p LEFT JOIN read.failures f "
            "ON f.projection = p.name AND f.partition = %s AND f.position = %s AND f.resolved_at IS NULL "
            "WHERE p.name = %s",
            (partition, position, name),
        )
        found = await cursor.fetchone()
        if found is None:
            raise UnknownProjection(name)
        klass, stopped_here = found
        if not stopped_here:
            raise NotStopped(f"{name} at position {position} of partition {partition}")
        if klass == "ledger" and not break_glass:
            raise SkipRefused(name)
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO read.skips (projection, partition, position, reason, actor, break_glass) "
                "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (name, partition, position, reason, actor, break_glass),
            )
            await connection.execute(
                "UPDATE read.failures SET resolved_at = clock_timestamp() "
                "WHERE projection = %s AND partition = %s AND position = %s",
                (name, partition, position),
            )
        await announce_everything(connection)


async def _set_paused(database_url: str, name: str, paused: bool, reason: str | None) -> None:
    async with await connect(database_url, name="operator") as connection:
        cursor = await connection.execute(
            "UPDATE read.projections SET paused = %s, reason = %s, changed_at = clock_timestamp() "
            "WHERE name = %s",
            (paused, reason, name),
        )
        if cursor.rowcount == 0:
            raise UnknownProjection(name)
        await announce_everything(connection)
