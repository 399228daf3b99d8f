"""Dropping what nobody goes back to, and what was left behind by those that were killed."""

from contextlib import suppress

from projections.connections import connect
from projections.premises import Premises, RebuildBusy
from projections.promotion import generations_of

_KEPT_DAYS = 7


async def forget_kept(premises: Premises) -> None:
    """Drop the generations that have been kept for longer than anybody goes back."""
    names = await _named(
        premises,
        "SELECT DISTINCT k.projection FROM read.generations k "
        "JOIN read.generations g USING (projection) WHERE k.status = 'kept' AND g.status = 'live' "
        "AND g.promoted_at < clock_timestamp() - make_interval(days => %s)",
        _KEPT_DAYS,
    )
    for name in names:
        with suppress(RebuildBusy):
            async with premises.locked(name) as connection:
                kept = [g for g in await generations_of(connection, name) if g.status == "kept"]
                await premises.discard(connection, name, kept)


async def forget_keys(premises: Premises) -> None:
    """Delete what is left in Redis of generations there are none of any more."""
    found = await premises.redis_lane.generations()
    async with await connect(premises.database_url, name="rebuild") as connection:
        for name in found.keys() & premises.catalogue.kinds.keys():
            known = {generation.generation for generation in await generations_of(connection, name)}
            await premises.redis_lane.remove(name, found[name] - known)


async def forget_scratch(premises: Premises) -> None:
    """Drop what comparisons have left behind that were killed."""
    names = await _named(
        premises, "SELECT DISTINCT projection FROM read.generations WHERE status = 'scratch'"
    )
    for name in names:
        with suppress(RebuildBusy):
            async with premises.locked(name) as connection:
                await premises.discard_scratch(connection, name)


async def forget_former_epochs(premises: Premises) -> None:
    """Delete what Redis holds of histories that are no more."""
    await premises.redis_lane.forget_former_epochs()


async def _named(premises: Premises, query: str, *parameters: object) -> list[str]:
    """The projections a query finds, of those there are in this program."""
    async with await connect(premises.database_url, name="rebuild", patient=True) as connection:
        cursor = await connection.execute(query.encode(), parameters)
        return [name for (name,) in await cursor.fetchall() if name in premises.catalogue.kinds]


EVERYTHING = (forget_kept, forget_scratch, forget_keys, forget_former_epochs)
"""All there is to do now and then; one that cannot be done does not keep the others from it."""
