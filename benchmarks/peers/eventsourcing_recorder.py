"""The library `eventsourcing`: its stock PostgreSQL application recorder.

Its persistence module changes `dataclasses` for the whole process, so it is imported when it is measured.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING
from uuid import UUID

from benchmarks.goods import TEXTS, TOPIC, new_id
from benchmarks.harness import BlockingOperation
from benchmarks.servers import parts_of

if TYPE_CHECKING:
    from eventsourcing.postgres import PostgresApplicationRecorder

_CONNECTIONS = 64


class Peer:
    """A thread per worker: the library blocks."""

    name = "eventsourcing"
    version = version("eventsourcing")
    does = (
        "its stock recorder, given ready-made bytes: a table lock and a NOTIFY in each transaction, versions "
        "guarded by the unique index; no mapper, idempotency or chain; loads parse the JSON and add up"
    )

    def __init__(self) -> None:
        self._recorder: PostgresApplicationRecorder

    async def open(self, url: str) -> None:
        await asyncio.to_thread(self._open, parts_of(url))

    def _open(self, parts: dict[str, str]) -> None:
        from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

        datastore = PostgresDatastore(
            parts["dbname"], parts["host"], parts["port"], parts["user"], parts["password"],
            pool_size=_CONNECTIONS, connect_timeout=30,
        )  # fmt: skip
        self._recorder = PostgresApplicationRecorder(datastore, events_table_name="stored_events")
        self._recorder.create_table()

    async def close(self) -> None:
        await asyncio.to_thread(self._recorder.datastore.close)

    def append(self, events: int) -> BlockingOperation:
        def operation(worker: int) -> int:
            self._insert(new_id(), 1, events)
            return events

        return operation

    def contended(self, streams: Sequence[UUID]) -> BlockingOperation:
        from eventsourcing.persistence import IntegrityError

        def operation(worker: int) -> int:
            stream = random.choice(streams)
            while True:
                last = self._recorder.select_events(stream, desc=True, limit=1)
                try:
                    self._insert(stream, last[0].originator_version + 1 if last else 1, 1)
                except IntegrityError:
                    continue
                return 1

        return operation

    async def counts(self, streams: Sequence[UUID]) -> list[tuple[int, int]]:
        return await asyncio.to_thread(self._counts, streams)

    def _counts(self, streams: Sequence[UUID]) -> list[tuple[int, int]]:
        found = [self._recorder.select_events(stream) for stream in streams]
        return [(len(events), events[-1].originator_version if events else 0) for events in found]

    async def fill(self, stream: UUID, events: int) -> None:
        await asyncio.to_thread(self._insert, stream, 1, events)

    def load(self, streams: Sequence[UUID]) -> BlockingOperation:
        def operation(worker: int) -> int:
            value = 0
            for stored in self._recorder.select_events(random.choice(streams)):
                value += json.loads(stored.state)["value"]["minor"]
            return 1

        return operation

    def catch_up(self, page: int) -> BlockingOperation:
        after = 0

        def operation(worker: int) -> int:
            nonlocal after
            events = self._recorder.select_notifications(after, page, inclusive_of_start=False)
            for notification in events:
                json.loads(notification.state)
            after = events[-1].id if len(events) == page else 0
            return len(events)

        return operation

    def _insert(self, stream: UUID, first: int, events: int) -> None:
        from eventsourcing.persistence import StoredEvent

        self._recorder.insert_events(
            [
                StoredEvent(stream, number, TOPIC, TEXTS[number % len(TEXTS)].encode())
                for number in range(first, first + events)
            ]
        )
