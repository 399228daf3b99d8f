"""What Prometheus is told of our clock: whether it agrees with the database's, which stamps every event."""

from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_NOW = text("SELECT clock_timestamp()")


class ClockNumbers(Collector):
    """The difference at the last look; none when there could be no look."""

    def __init__(self) -> None:
        self._skew_seconds: float | None = None

    async def look(self, engine: AsyncEngine, clock: Callable[[], datetime]) -> None:
        """Ask the database; raises what it raises, and then nothing is told.

        The answer was given between two looks at our clock: only what lies outside of them is a difference,
        so a slow answer is none.
        """
        self._skew_seconds = None
        async with engine.connect() as connection:
            before = clock()
            there: datetime = (await connection.execute(_NOW)).scalar_one()
            after = clock()
        ahead, behind = (before - there).total_seconds(), (there - after).total_seconds()
        self._skew_seconds = ahead if ahead > 0 else min(-behind, 0.0)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus gets."""
        if self._skew_seconds is not None:
            yield GaugeMetricFamily(
                "ccontrol_clock_skew_seconds",
                "How far our clock is ahead of the database's; negative when it is behind.",
                self._skew_seconds,
            )
