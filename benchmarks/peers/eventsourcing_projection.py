"""The library `eventsourcing` as projector: imported late, because it changes `dataclasses` for all."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

from benchmarks.balances import fact_of


class Stock(Aggregate):
    """What goods are received into."""

    class Received(Aggregate.Event):
        """The fields that count."""

        product_id: UUID
        value_minor: int


class StockRoom(Application[UUID]):
    """Holds the log."""


class Balances(PostgresTrackingRecorder):
    """The table, and how far it is."""

    def __init__(self, datastore: Any, **more: Any) -> None:
        super().__init__(datastore, **{**more, "tracking_table_name": "balances_tracking"})
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS balances (product_id uuid PRIMARY KEY, value_minor bigint)"
            ).format()
        )

    def add(self, product_id: UUID, minor: int, tracking: Tracking) -> None:
        """A balance and the tracking, or neither."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO balances VALUES (%s, %s) ON CONFLICT (product_id) "
                "DO UPDATE SET value_minor = balances.value_minor + EXCLUDED.value_minor",
                (product_id, minor),
                prepare=True,
            )


class Balancing(Projection[Balances]):
    """Adds up."""

    name = "balancing"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """One event."""
        self.view.add(domain_event.product_id, domain_event.value_minor, tracking)


def write_log(environment: Mapping[str, str], events: int) -> None:
    """So many facts on one stream."""
    application = StockRoom(dict(environment))
    stream = uuid4()
    for first in range(0, events, 500):
        application.recorder.insert_events(
            [
                application.mapper.to_stored_event(
                    Stock.Received(  # type: ignore[call-arg]  # the library makes its constructor at run time
                        originator_id=stream,
                        originator_version=number + 1,
                        timestamp=Stock.Received.create_timestamp(),
                        product_id=fact_of(number).product_id,
                        value_minor=fact_of(number).value.minor,
                    )
                )
                for number in range(first, min(first + 500, events))
            ]
        )
    application.close()


def catch_up(environment: Mapping[str, str], events: int) -> None:
    """From nothing to the end."""
    with ProjectionRunner(
        application_class=StockRoom,
        projection_class=Balancing,
        view_class=Balances,
        env=dict(environment),
    ) as runner:
        runner.wait(events, timeout=300)
