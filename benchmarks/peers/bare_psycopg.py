"""No library: the cheapest durable INSERT of the same row into a table of the same shape."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

from benchmarks.goods import ACTOR, COMPANY, TEXTS, TOPIC, new_id
from benchmarks.harness import Operation
from write_model.stock.stock_item import StockItem
from write_model.store import arrays, topics
from write_model.store.arrays import Integers, Texts, Uuids
from write_model.store.migrations import upgrade

# The table of the product with its keys and indexes, without its triggers, policies and lock; positions come
# from a sequence, so they are neither dense nor in commit order.
_TABLES = """
    CREATE SCHEMA bare;
    CREATE TABLE bare.events (LIKE ccontrol.events INCLUDING ALL) PARTITION BY LIST (partition);
    CREATE TABLE bare.events_p0 PARTITION OF bare.events FOR VALUES IN (0);
    CREATE SEQUENCE bare.positions CACHE 1;
"""
_COLUMNS = (
    "partition, position, company_id, stream_id, version, topic, schema_version, event_id, effective_date, "
    "recorded_at, actor_kind, actor_id, command_id, correlation_id, channel, data, prev_hash, hash"
)
_ONE = (
    f"INSERT INTO bare.events ({_COLUMNS}) VALUES (0, nextval('bare.positions'), "  # noqa: S608
    "%b, %b, %b, %b, 1, %b, %b, %b, 'user', %b, %b, %b, 'api', %b, %b, %b)"
)
_MANY = (
    f"INSERT INTO bare.events ({_COLUMNS}) SELECT 0, nextval('bare.positions'), "  # noqa: S608
    "%b, e.stream, e.version, e.topic, 1, e.id, %b, %b, 'user', %b, e.command, e.correlation, 'api', "
    "e.data, %b, %b FROM unnest(%b, %b, %b, %b, %b, %b, %b) "
    "AS e(stream, version, topic, id, command, correlation, data)"
)
_LAST = "SELECT coalesce(max(version), 0) FROM bare.events WHERE partition = 0 AND stream_id = %b"
_STREAM = (
    "SELECT topic, schema_version, data FROM bare.events "
    "WHERE partition = 0 AND stream_id = %b ORDER BY version"
)
_PAGE = (
    "SELECT position, topic, schema_version, data FROM bare.events WHERE partition = 0 AND position > %b "
    "ORDER BY position LIMIT %b"
)
_DAY = date(2026, 11, 23)
_HASH = bytes(range(32))
_CONNECTIONS = 64

Connection = AsyncConnection[tuple[Any, ...]]


class Peer:
    """A connection per worker, prepared statements, autocommit."""

    name = "psycopg"
    version = psycopg.__version__
    does = (
        "a ready-made row into a table of the same shape: one INSERT per transaction, one connection each "
        "(batches: one INSERT … SELECT FROM unnest); no codec, idempotency, commit order, chain; versions "
        "guarded by the unique index; loads decode and fold the same events without their audit columns"
    )

    def __init__(self) -> None:
        self._connections: list[Connection] = []

    async def open(self, url: str) -> None:
        await asyncio.to_thread(_make_tables, url)
        for _ in range(_CONNECTIONS):
            connection = await AsyncConnection.connect(url, autocommit=True, prepare_threshold=0)
            arrays.register(connection)
            self._connections.append(connection)

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()

    def append(self, events: int) -> Operation:
        async def one(worker: int) -> int:
            await self._connections[worker].execute(_ONE, _row(new_id(), 1), binary=True)
            return 1

        async def many(worker: int) -> int:
            await self._connections[worker].execute(_MANY, _rows(new_id(), events), binary=True)
            return events

        return one if events == 1 else many

    def contended(self, streams: Sequence[UUID]) -> Operation:
        async def operation(worker: int) -> int:
            connection = self._connections[worker]
            stream = random.choice(streams)
            while True:
                found = await (await connection.execute(_LAST, (stream,), binary=True)).fetchone()
                assert found is not None
                try:
                    await connection.execute(_ONE, _row(stream, found[0] + 1), binary=True)
                except psycopg.errors.UniqueViolation:
                    continue
                return 1

        return operation

    async def counts(self, streams: Sequence[UUID]) -> list[tuple[int, int]]:
        counted = []
        for stream in streams:
            found = await self._connections[0].execute(
                "SELECT count(*), coalesce(max(version), 0) FROM bare.events WHERE stream_id = %b", (stream,)
            )
            counted += [(int(count), int(last)) for count, last in await found.fetchall()]
        return counted

    async def fill(self, stream: UUID, events: int) -> None:
        await self._connections[0].execute(_MANY, _rows(stream, events), binary=True)

    def load(self, streams: Sequence[UUID]) -> Operation:
        async def operation(worker: int) -> int:
            found = await self._connections[worker].execute(_STREAM, (random.choice(streams),), binary=True)
            item = StockItem()
            for topic, schema_version, data in await found.fetchall():
                item.apply(topics.decode(topic, schema_version, data))  # type: ignore[arg-type]
            return 1

        return operation

    def catch_up(self, page: int) -> Operation:
        after = 0

        async def operation(worker: int) -> int:
            nonlocal after
            rows = await (await self._connections[0].execute(_PAGE, (after, page), binary=True)).fetchall()
            for _, topic, schema_version, data in rows:
                topics.decode(topic, schema_version, data)
            after = rows[-1][0] if len(rows) == page else 0
            return len(rows)

        return operation


def _make_tables(url: str) -> None:
    upgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLES)


def _row(stream: UUID, version: int) -> tuple[object, ...]:
    return (
        COMPANY, stream, version, TOPIC, new_id(), _DAY, datetime.now(UTC), ACTOR, new_id(), new_id(),
        TEXTS[version % len(TEXTS)], _HASH, _HASH,
    )  # fmt: skip


def _rows(stream: UUID, events: int) -> tuple[object, ...]:
    command = new_id()
    return (
        COMPANY, _DAY, datetime.now(UTC), ACTOR, _HASH, _HASH, Uuids([stream] * events),
        Integers(range(1, events + 1)), Texts([TOPIC] * events), Uuids(new_id() for _ in range(events)),
        Uuids([command] * events), Uuids([command] * events),
        Texts(TEXTS[number % len(TEXTS)] for number in range(1, events + 1)),
    )  # fmt: skip
