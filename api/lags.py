"""How far each projection is behind the log, asked of the database: for readiness.

missing   no projector has made its tables yet: it cannot be asked
stuck     behind, with an old event, and without progress for a while: nobody folds it
failed    stopped in front of an event it cannot fold
paused    by an operator
behind    late, and coming
live      none of these
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

MISSING, STUCK, FAILED, PAUSED, BEHIND, LIVE = "missing", "stuck", "failed", "paused", "behind", "live"

# Older than this it is worth saying; younger is the normal delay of a projector.
_BEHIND_SECONDS = 5.0

# The worst of its partitions is what a projection is.
_LAGS = text("""
SELECT projection, klass,
        sum(greatest(head - position_at, 0))::bigint,
        coalesce(max(extract(epoch FROM clock_timestamp() - oldest_at)), 0)::float8,
        bool_or(state = 'paused'), bool_or(state = 'failed'), bool_or(state = 'stuck')
    FROM read.lags() GROUP BY projection, klass ORDER BY projection
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """One projection, over all partitions; `lag_seconds` is the age of the oldest event it has not folded."""

    name: str
    lag_events: int
    lag_seconds: float
    state: str
    gates: bool = False
    """Whether nothing may be served without it."""

    @property
    def forbids(self) -> bool:
        """Whether this process must not be called ready.

        Every projection has to be there. One that keeps the books must be kept up to date as well: figures
        of an old ledger are wrong figures. Others go on with the last they know, and every answer says so.
        """
        return self.state == MISSING or (self.gates and self.state in (STUCK, FAILED))


async def lags(engine: AsyncEngine, wanted: Collection[str]) -> list[Lag]:
    """Every projection there is; those that are wanted and are not there are `missing`."""
    found = {}
    try:
        async with engine.connect() as connection:
            for name, klass, events, seconds, paused, failed, stuck in await connection.execute(_LAGS):
                late = events and seconds > _BEHIND_SECONDS
                state = (
                    PAUSED if paused else FAILED if failed else STUCK if stuck else BEHIND if late else LIVE
                )
                found[name] = Lag(
                    name=name,
                    lag_events=events,
                    lag_seconds=seconds,
                    state=state,
                    gates=klass == "ledger",
                )
    except ProgrammingError:
        pass  # before the first projector has made the tables
    for name in sorted(set(wanted) - found.keys()):
        found[name] = Lag(name=name, lag_events=0, lag_seconds=0.0, state=MISSING)
    return list(found.values())
