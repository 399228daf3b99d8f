"""Up to where the events of a queue were dealt with, so that what was in one that is gone is told again.

A broker keeps what it has confirmed, but a queue may be deleted, or the broker come back without its disk.
Then the relay goes back to here, before the queue is made anew: rather twice than never. What waits for
another try stands in a queue of its own and is not told again.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping

from integration.broker import Handler
from integration.event import IntegrationEvent
from projections.connections import Connection

# Events of different streams come as they are confirmed, up to a page of them in another order.
_DISORDER = 1_000

_NOTE = """
INSERT INTO integration.consumed AS c (queue, partition, position) VALUES (%s, %s, %s)
    ON CONFLICT (queue, partition) DO UPDATE SET position = EXCLUDED.position
"""
_BEGIN = """
INSERT INTO integration.consumed (queue, partition, position)
    SELECT %s, partition, position FROM integration.relay ON CONFLICT DO NOTHING
"""
_GO_BACK = """
UPDATE integration.relay r SET position = c.position, updated_at = clock_timestamp()
    FROM integration.consumed c
    WHERE c.queue = %s AND c.partition = r.partition AND c.position < r.position
    RETURNING r.partition, r.position
"""
# Those that may have been signed since, told or not: they are in no place of the log.
_TELL_HEADS_AGAIN = """
UPDATE ccontrol.outbox o SET sent_at = NULL
    FROM ccontrol.events e
    WHERE o.kind = 'checkpoint' AND o.sent_at IS NOT NULL AND o.partition = %(partition)s
        AND e.partition = %(partition)s AND e.position = %(position)s + 1 AND o.created_at >= e.recorded_at
"""


class LowWater:
    """A handler that knows how far it has got."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._running: dict[int, Counter[int]] = {}
        self._last: dict[int, int] = {}

    async def __call__(self, event: IntegrationEvent) -> None:
        """As the handler inside."""
        partition, position = event.partition, event.position
        if position == 0:  # it is not in the log
            await self._handler(event)
            return
        self._last[partition] = position
        running = self._running.setdefault(partition, Counter())
        running[position] += 1
        try:
            await self._handler(event)
        except asyncio.CancelledError:
            # Perhaps the whole queue is given back: what comes next says where it begins.
            self._last.pop(partition, None)
            raise
        finally:
            running[position] -= 1
            if not running[position]:
                del running[position]

    def marks(self) -> Mapping[int, int]:
        """Below which position nothing is on the way, by partition; of those where that is known."""
        return {
            partition: max(0, min([last, *self._running[partition]]) - 1 - _DISORDER)
            for partition, last in self._last.items()
        }


async def note(connection: Connection, queue: str, marks: Mapping[int, int]) -> None:
    """Keep them. One process consumes at a time; who does not any more must not repeat what it noted."""
    for partition, position in sorted(marks.items()):
        await connection.execute(_NOTE, (queue, partition, position))


async def begin(connection: Connection, queue: str) -> None:
    """What is told from here on belongs to this queue, unless that was said before."""
    await connection.execute(_BEGIN, (queue,))


async def go_back(connection: Connection, queue: str) -> Mapping[int, int]:
    """The queue is not there: have all told again that may have been in it; from where, by partition."""
    async with connection.transaction():
        # The queue is made after this: a crash of the database must not forget it.
        await connection.execute("SET LOCAL synchronous_commit = on")
        cursor = await connection.execute(_GO_BACK, (queue,))
        again: dict[int, int] = dict(await cursor.fetchall())
        for partition, position in sorted(again.items()):
            await connection.execute(_TELL_HEADS_AGAIN, {"partition": partition, "position": position})
    return again
