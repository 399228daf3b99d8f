"""How far each projection is behind the log, asked of the database: for readiness."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

MISSING, LIVE, BEHIND, STOPPED = "missing", "live", "behind", "stopped"

# Older than this it is worth saying; younger is the normal delay of a projector.
_BEHIND_SECONDS = 5.0

_LAGS = text("""
SELECT p.name,
        coalesce(sum(greatest(h.position - c.position, 0)), 0)::bigint,
        coalesce(max(extract(epoch FROM clock_timestamp() - coalesce(c.event_recorded_at, c.updated_at)))
            FILTER (WHERE h.position > c.position), 0)::float8,
        p.paused OR EXISTS (SELECT FROM read.failures f WHERE f.projection = p.name AND f.resolved_at IS NULL)
    FROM read.projections p
    LEFT JOIN read.checkpoints c ON c.projection = p.name AND c.generation = p.generation
    LEFT JOIN ccontrol.partition_heads h ON h.partition = c.partition
    GROUP BY p.name, p.paused
    ORDER BY p.name
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """One projection, over all partitions; `lag_seconds` is at least as long as it has been behind."""

    name: str
    lag_events: int
    lag_seconds: float
    state: str


async def lags(engine: AsyncEngine, wanted: Collection[str]) -> list[Lag]:
    """Every projection there is; those that are wanted and are not there are `missing`."""
    found = {}
    try:
        async with engine.connect() as connection:
            for name, events, seconds, stopped in (await connection.execute(_LAGS)).all():
                state = STOPPED if stopped else BEHIND if events and seconds > _BEHIND_SECONDS else LIVE
                found[name] = Lag(name=name, lag_events=events, lag_seconds=seconds, state=state)
    except ProgrammingError:
        pass  # before the first projector has made the tables
    for name in sorted(set(wanted) - found.keys()):
        found[name] = Lag(name=name, lag_events=0, lag_seconds=0.0, state=MISSING)
    return list(found.values())
