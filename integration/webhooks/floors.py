"""Before which moment nothing of a webhook waits any more, so that nobody looks there.

What is settled stays in the table and its indexes as long as anybody, such as a backup, holds an old
snapshot: without this each look would step over everything that was delivered since. A floor is a guess about
what may still be committed; now and then there is a look at everything, which also finds what came too late.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from time import monotonic
from typing import Final
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

from integration.webhooks.deliveries import NO_FLOORS
from projections.connections import Connection

# A delivery is committed this long after it was due at the latest, also when clocks differ a little.
_LATE: Final = timedelta(seconds=5)
# What is urgent is put that little before the first.
_BEFORE: Final = timedelta(milliseconds=1)
_RAISE_SECONDS: Final = 1.0
_EVERYTHING_SECONDS: Final = 30.0
# So many times as long as the last look at everything took.
_EVERYTHING_REST: Final = 50.0

# The first that waits for each webhook, from its floor on.
_FIRST = """
SELECT q.webhook_id, (
        SELECT d.due_at FROM integration.webhook_deliveries d
            WHERE d.webhook_id = q.webhook_id AND d.state = 'pending'
                AND d.due_at >= coalesce(f.floor, '-infinity')
            ORDER BY d.due_at LIMIT 1)
    FROM integration.webhook_queues q
    LEFT JOIN unnest(%(webhooks)s::uuid[], %(floors)s::timestamptz[]) AS f (webhook_id, floor)
        ON f.webhook_id = q.webhook_id
"""


class Floors:
    """Those of one courier."""

    def __init__(self, pool: AsyncConnectionPool[Connection], clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._clock = clock
        self._floors = NO_FLOORS
        self._raise_at = 0.0
        self._everything_at = 0.0

    async def now(self) -> Mapping[UUID, datetime]:
        """By webhook; of one that is not in it, everything is to be looked at."""
        begun = monotonic()
        if begun >= self._everything_at:
            await self._raise(NO_FLOORS)
            took = monotonic() - begun
            self._everything_at = monotonic() + max(_EVERYTHING_SECONDS, _EVERYTHING_REST * took)
        elif begun >= self._raise_at:
            await self._raise(self._floors)
        return self._floors

    async def _raise(self, floors: Mapping[UUID, datetime]) -> None:
        # Before the question: what is committed after it is due later than this.
        limit = self._clock() - _LATE
        values = {"webhooks": list(floors), "floors": list(floors.values())}
        async with self._pool.connection() as connection:
            found = await (await connection.execute(_FIRST, values)).fetchall()
        self._floors = {
            webhook_id: limit if first is None else min(first - _BEFORE, limit) for webhook_id, first in found
        }
        self._raise_at = monotonic() + _RAISE_SECONDS
