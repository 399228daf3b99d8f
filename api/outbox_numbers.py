"""What Prometheus is told of what leaves the house: asked of the database when it asks us.

The relay and the consumers run in other processes, perhaps several of each; the database knows of all.
"""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

_OUTBOX = text("""
SELECT o.pending + s.heads, greatest(o.oldest_seconds, s.oldest_seconds), o.published, o.failed
    FROM integration.signed_heads_waiting() s,
        (SELECT coalesce(sum(head - position), 0)::bigint AS pending,
                coalesce(max(oldest_seconds), 0)::float8 AS oldest_seconds,
                coalesce(sum(published), 0)::bigint AS published, coalesce(sum(failed), 0)::bigint AS failed
            FROM integration.outbox()) o
""")
_LETTERS = text("SELECT queue, letters FROM integration.dead_letter_counts()")


class OutboxNumbers(Collector):
    """The numbers as they were at the last look; none when there could be no look."""

    def __init__(self) -> None:
        self._outbox: tuple[int, float, int, int] | None = None
        self._letters: Sequence[tuple[str, int]] = ()

    async def look(self, engine: AsyncEngine) -> None:
        """Ask the database; raises what it raises, and then nothing is told."""
        self._outbox, self._letters = None, ()
        try:
            async with engine.connect() as connection:
                pending, oldest, published, failed = (await connection.execute(_OUTBOX)).one()
                letters = [(queue, count) for queue, count in await connection.execute(_LETTERS)]
        except ProgrammingError:
            return  # before the first relay has made the tables
        self._outbox, self._letters = (pending, oldest, published, failed), letters

    def collect(self) -> Iterator[Metric]:
        """What Prometheus gets."""
        if self._outbox is None:
            return
        pending, oldest, published, failed = self._outbox
        yield GaugeMetricFamily("ccontrol_outbox_pending", "Events and signed heads not told yet.", pending)
        yield GaugeMetricFamily("ccontrol_outbox_oldest_seconds", "Age of the oldest of them.", oldest)
        yield CounterMetricFamily("ccontrol_relay_published", "Events told to the broker.", published)
        yield CounterMetricFamily("ccontrol_relay_failed", "Times that telling the broker failed.", failed)
        waiting = GaugeMetricFamily(
            "ccontrol_dead_letters", "Messages that wait for somebody's decision.", labels=["queue"]
        )
        for queue, count in self._letters:
            waiting.add_metric([queue], count)
        yield waiting
