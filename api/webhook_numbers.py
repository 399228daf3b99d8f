"""What Prometheus is told of webhooks: asked of the database when it asks us, as couriers are elsewhere."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

_BACKLOG = text("SELECT pending, oldest_seconds FROM integration.webhook_backlog()")
_OUTCOMES = text("SELECT outcome, deliveries FROM integration.webhook_outcomes ORDER BY outcome")


class WebhookNumbers(Collector):
    """The numbers as they were at the last look; none when there could be no look."""

    def __init__(self) -> None:
        self._backlog: tuple[int, float] | None = None
        self._outcomes: Sequence[tuple[str, int]] = ()

    async def look(self, engine: AsyncEngine) -> None:
        """Ask the database; raises what it raises, and then nothing is told."""
        self._backlog, self._outcomes = None, ()
        try:
            async with engine.connect() as connection:
                pending, oldest = (await connection.execute(_BACKLOG)).one()
                outcomes = [(outcome, count) for outcome, count in await connection.execute(_OUTCOMES)]
        except ProgrammingError:
            return  # before the tables are there
        self._backlog, self._outcomes = (pending, oldest), outcomes

    def collect(self) -> Iterator[Metric]:
        """What Prometheus gets."""
        if self._backlog is None:
            return
        pending, oldest = self._backlog
        yield GaugeMetricFamily(
            "ccontrol_webhook_deliveries_pending", "Deliveries that wait for a try.", pending
        )
        yield GaugeMetricFamily(
            "ccontrol_webhook_oldest_due_seconds", "How long the first of them has been due.", oldest
        )
        ended = CounterMetricFamily(
            "ccontrol_webhook_deliveries", "Attempts at deliveries, by what came of them.", labels=["outcome"]
        )
        for outcome, count in self._outcomes:
            ended.add_metric([outcome], count)
        yield ended
