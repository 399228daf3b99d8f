"""What an operator does to a projection: pause, resume, skip.

Nothing that is recorded after a pause is folded into tables; the rest takes effect within a second.
"""

from projections.announcer import announce_everything
from projections.connections import Connection, connect
from projections.premises import UnknownProjection


class SkipRefused(Exception):
    """An event of the books may not be left out, unless the glass is broken."""


class NotStopped(LookupError):
    """The projection is not stopped at this event, so there is nothing to skip."""


class AmbiguousPosition(LookupError):
    """The projection is stopped at this position of several partitions."""


async def pause(database_url: str, name: str, reason: str, *, actor: str) -> None:
    """Stop folding; what is there goes on being served, marked stale."""
    async with await connect(database_url, name="operator") as connection:
        async with connection.transaction():
            await _lasting(connection)
            await _set_paused(connection, name, reason)
            await _remember(connection, name, "pause", reason, actor)
        await announce_everything(connection)


async def resume(database_url: str, name: str, *, actor: str, reason: str | None = None) -> None:
    """Fold again, from the event it was paused or stopped at."""
    async with await connect(database_url, name="operator") as connection:
        async with connection.transaction():
            await _lasting(connection)
            await _set_paused(connection, name, None)
            await connection.execute(
                "UPDATE read.failures SET resolved_at = clock_timestamp() "
                "WHERE projection = %s AND resolved_at IS NULL",
                (name,),
            )
            await _remember(connection, name, "resume", reason, actor)
        await announce_everything(connection)


async def skip(
    database_url: str,
    name: str,
    partition: int | None,
    position: int,
    *,
    reason: str,
    actor: str,
    break_glass: bool = False,
) -> int:
    """Leave out the event a projection is stopped at, and resume. Recorded for ever, also by rebuilds.

    The partition need not be said where it is stopped at this position of one only; it is returned.
    """
    async with await connect(database_url, name="operator") as connection:
        where = await _skip(connection, name, partition, position, reason, actor, break_glass)
        await announce_everything(connection)
    return where


async def _skip(
    connection: Connection,
    name: str,
    partition: int | None,
    position: int,
    reason: str,
    actor: str,
    break_glass: bool,
) -> int:
    async with connection.transaction():
        await _lasting(connection)
        klass = await _klass(connection, name)
        cursor = await connection.execute(
            "SELECT partition FROM read.failures WHERE projection = %s AND position = %s "
            "AND resolved_at IS NULL ORDER BY partition FOR UPDATE",
            (name, position),
        )
        stopped: list[int] = [found for (found,) in await cursor.fetchall() if partition in (None, found)]
        if not stopped:
            raise NotStopped(f"{name} at position {position}")
        if len(stopped) > 1:
            raise AmbiguousPosition(", ".join(map(str, stopped)))
        if klass == "ledger" and not break_glass:
            raise SkipRefused(name)
        await connection.execute(
            "INSERT INTO read.skips (projection, partition, position, reason, actor, break_glass) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (name, stopped[0], position, reason, actor, break_glass),
        )
        # What a rebuild has left waiting may have folded it all the same, by code that was mended meanwhile.
        await connection.execute(
            "UPDATE read.generations g SET status = 'scratch' FROM read.checkpoints c "
            "WHERE g.projection = %s AND g.status = 'building' AND c.projection = g.projection "
            "AND c.generation = g.generation AND c.partition = %s AND c.position >= %s",
            (name, stopped[0], position),
        )
        await connection.execute(
            "UPDATE read.failures SET resolved_at = clock_timestamp() "
            "WHERE projection = %s AND partition = %s AND position = %s",
            (name, stopped[0], position),
        )
    return stopped[0]


async def _klass(connection: Connection, name: str) -> str:
    cursor = await connection.execute("SELECT klass FROM read.projections WHERE name = %s", (name,))
    found = await cursor.fetchone()
    if found is None:
        raise UnknownProjection(name)
    return str(found[0])


async def _set_paused(connection: Connection, name: str, reason: str | None) -> None:
    cursor = await connection.execute(
        "UPDATE read.projections SET paused = %s, reason = %s, changed_at = clock_timestamp() "
        "WHERE name = %s",
        (reason is not None, reason, name),
    )
    if cursor.rowcount == 0:
        raise UnknownProjection(name)


async def _remember(connection: Connection, name: str, act: str, reason: str | None, actor: str) -> None:
    await connection.execute(
        "INSERT INTO read.acts (projection, act, reason, actor) VALUES (%s, %s, %s, %s)",
        (name, act, reason, actor),
    )


async def _lasting(connection: Connection) -> None:
    """What was said to be done is so after a crash, unlike what can be folded again."""
    await connection.execute("SET LOCAL synchronous_commit = on")
