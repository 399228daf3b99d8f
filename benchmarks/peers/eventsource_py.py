"""The library `eventsource-py`: its PostgreSQL store over SQLAlchemy and asyncpg."""

import random
from collections.abc import Sequence
from importlib.metadata import version
from uuid import UUID

from eventsource import DomainEvent, ExpectedVersion, OptimisticLockError, StreamId, create_async_engine
from eventsource.adapters.postgresql import PostgreSQLEventStore
from eventsource.domain.event_registry import EventRegistry
from eventsource.ports import FeedReadOptions

from benchmarks.goods import ACTOR, FACTS, new_id
from benchmarks.harness import Operation

_CATEGORY = "StockItem"
_CONNECTIONS = 64


class GoodsReceived(DomainEvent):
    """The fields of our own event, in this library's manner."""

    aggregate_type: str = _CATEGORY
    warehouse_id: UUID
    product_id: UUID
    quantity: str
    value_minor: int
    origin: str
    on_hand_after: str
    value_after_minor: int


class Peer:
    """One engine whose pool has a connection per worker."""

    name = "eventsource-py"
    version = version("eventsource-py")
    does = (
        "its store with its own pydantic event: reads the version, inserts event by event, commits; "
        "positions from a sequence; no idempotency keys or chain; loads decode and add up"
    )

    def __init__(self) -> None:
        self._store: PostgreSQLEventStore
        self._registry = EventRegistry()
        self._registry.register(GoodsReceived)

    async def open(self, url: str) -> None:
        engine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=_CONNECTIONS
        )
        self._store = PostgreSQLEventStore(engine, self._registry, create_schema=True, owns_engine=True)
        await self._store.get_stream_version(StreamId(new_id(), _CATEGORY))

    async def close(self) -> None:
        await self._store.close()

    def append(self, events: int) -> Operation:
        async def operation(worker: int) -> int:
            await self._append(new_id(), 0, events)
            return events

        return operation

    def contended(self, streams: Sequence[UUID]) -> Operation:
        async def operation(worker: int) -> int:
            stream = random.choice(streams)
            while True:
                current = await self._store.get_stream_version(StreamId(stream, _CATEGORY))
                try:
                    await self._append(stream, current, 1)
                except OptimisticLockError:
                    continue
                return 1

        return operation

    async def counts(self, streams: Sequence[UUID]) -> list[tuple[int, int]]:
        counted = []
        for stream in streams:
            versions = [
                event.stream_version async for event in self._store.read_stream(StreamId(stream, _CATEGORY))
            ]
            counted.append((len(versions), max(versions, default=0)))
        return counted

    async def fill(self, stream: UUID, events: int) -> None:
        await self._append(stream, 0, events)

    def load(self, streams: Sequence[UUID]) -> Operation:
        async def operation(worker: int) -> int:
            value = 0
            async for envelope in self._store.read_stream(StreamId(random.choice(streams), _CATEGORY)):
                assert isinstance(envelope.event, GoodsReceived)
                value += envelope.event.value_minor
            return 1

        return operation

    def catch_up(self, page: int) -> Operation:
        after = None

        async def operation(worker: int) -> int:
            nonlocal after
            options = FeedReadOptions(limit=page)
            events = [envelope async for envelope in self._store.read_all(after, options)]
            after = events[-1].position if len(events) == page else None
            return len(events)

        return operation

    async def _append(self, stream: UUID, after: int, events: int) -> None:
        await self._store.append(
            StreamId(stream, _CATEGORY),
            [_received(stream, number) for number in range(after + 1, after + events + 1)],
            ExpectedVersion.exact(after),
        )


def _received(stream: UUID, number: int) -> GoodsReceived:
    fact = FACTS[number % len(FACTS)]
    return GoodsReceived(
        aggregate_id=stream,
        aggregate_version=number,
        actor_id=str(ACTOR),
        warehouse_id=fact.warehouse_id,
        product_id=fact.product_id,
        quantity=str(fact.quantity),
        value_minor=fact.value.minor,
        origin=fact.origin,
        on_hand_after=str(fact.on_hand_after),
        value_after_minor=fact.value_after.minor,
    )
