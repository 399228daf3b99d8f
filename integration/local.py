"""The broker of an installation without one: queues in tables of our own database.

The same promises as RabbitMQ, at least once and in order per stream, at the cost of a row per event and
queue. Committing is not waited for (`projections/connections.py`): the checkpoint of the relay is committed
later in the same database, so a crash that loses messages loses the checkpoint behind them as well.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import UUID

import structlog
from psycopg_pool import AsyncConnectionPool

from integration.broker import Handler, Letter, Published, PublishFailed, Subscription, Tally, Unroutable
from integration.event import IntegrationEvent
from integration.local_session import WRITING, Session
from integration.patterns import matches
from projections.backoff import Backoff
from projections.connections import Connection, connect, is_transient, stop_if_cancelled

# The first of two keys of the advisory lock that whoever consumes a queue holds; the second is its name.
_CONSUMER_LOCK = 0x7EB0
_STANDBY_SECONDS = 1.0

# One text for each, `<queue> <pattern>`: no queue has a space in its name.
_BINDINGS = """
SELECT coalesce(array_agg(queue || ' ' || pattern ORDER BY queue, pattern), '{}')
    FROM integration.local_bindings
"""
# Nothing, when the bindings are not those the rows were made for: another process has declared meanwhile.
# The order of the numbers is the order of the rows, so the order in which they are consumed.
_PUBLISH = f"""
WITH writing AS MATERIALIZED (SELECT {WRITING})
INSERT INTO integration.local_messages (queue, message_id, body)
    SELECT queue, message_id, body
        FROM writing, unnest(%(queues)s::text[], %(ids)s::text[], %(bodies)s::bytea[])
            WITH ORDINALITY AS u (queue, message_id, body, n)
        WHERE ({_BINDINGS}) = %(bindings)s::text[]
        ORDER BY n
"""  # noqa: S608  # constants
_REDELIVER = f"""
WITH writing AS MATERIALIZED (SELECT {WRITING})
INSERT INTO integration.local_messages (queue, message_id, body) SELECT %s, %s, %s FROM writing
"""  # noqa: S608  # a constant

_log = structlog.get_logger(__name__)


class LocalBroker:
    """Queues in PostgreSQL. `pool` must be open, and must allow one connection per queue consumed here."""

    def __init__(self, database_url: str, pool: AsyncConnectionPool[Connection]) -> None:
        self._database_url = database_url
        self._pool = pool
        self._bells: set[asyncio.Event] = set()
        # As they were when we last looked; each time something is published they are compared.
        self._bindings: list[str] = []

    async def declare(self, subscriptions: Sequence[Subscription]) -> None:
        """Bind these queues as they say, and to nothing else."""
        try:
            async with self._pool.connection() as connection, connection.transaction():
                for subscription in subscriptions:
                    await connection.execute(
                        "DELETE FROM integration.local_bindings WHERE queue = %s AND pattern <> ALL(%s)",
                        (subscription.queue, list(subscription.patterns)),
                    )
                    await connection.execute(
                        "INSERT INTO integration.local_bindings (queue, pattern) "
                        "SELECT %s, unnest(%s::text[]) ON CONFLICT DO NOTHING",
                        (subscription.queue, list(subscription.patterns)),
                    )
        except Exception as error:
            raise _as_failure(error) from error

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator["LocalBroker"]:
        """Any number of tasks may share this one."""
        yield self

    async def publish(self, events: Sequence[IntegrationEvent]) -> Published:
        """All in one transaction, up to the first event that belongs to no queue."""
        try:
            async with self._pool.connection() as connection:
                published = await self._publish(connection, events)
        except Exception as error:  # noqa: BLE001  # translated, or raised again
            return Published(frozenset(), _as_failure(error))
        self._ring()
        return published

    async def _publish(self, connection: Connection, events: Sequence[IntegrationEvent]) -> Published:
        is_fresh = False
        while True:
            bindings = self._bindings
            rows = _rows(events, bindings)
            # Before it is said of an event that it belongs nowhere, the bindings are looked at.
            if rows.failure is None or is_fresh:
                written = 0
                if rows.ids:
                    values = {"queues": rows.queues, "ids": rows.ids, "bodies": rows.bodies}
                    done = await connection.execute(_PUBLISH, {**values, "bindings": bindings})
                    written = done.rowcount
                if written == len(rows.ids):
                    return Published(frozenset(rows.confirmed), rows.failure)
            cursor = await connection.execute(_BINDINGS)
            ((self._bindings,),) = await cursor.fetchall()
            is_fresh = True

    async def redeliver(self, queue: str, letter: Letter) -> None:
        """Put a dead letter back."""
        try:
            async with self._pool.connection() as connection:
                await connection.execute(_REDELIVER, (queue, letter.id, letter.body))
        except Exception as error:
            raise _as_failure(error) from error
        self._ring()

    async def consume(self, subscription: Subscription, handler: Handler, tally: Tally | None = None) -> None:
        """One process at a time: whoever holds the queue's lock."""
        backoff = Backoff()
        while True:
            stop_if_cancelled()
            try:
                async with await connect(self._database_url, name="consumer") as connection:
                    await _stand_by(connection, subscription.queue)
                    session = Session(self._pool, subscription, handler, tally or Tally())
                    self._bells.add(session.bell)
                    try:
                        await session.run(connection, backoff)
                    finally:
                        self._bells.discard(session.bell)
            except Exception as error:
                stop_if_cancelled()
                if not is_transient(error):
                    raise
                _log.warning("consumer_waits", queue=subscription.queue, error=type(error).__name__)
            await asyncio.sleep(backoff.failed())

    def _ring(self) -> None:
        """Wake consumers in this process; those in others look by themselves."""
        for bell in self._bells:
            bell.set()


class _Rows(NamedTuple):
    """What events become: a row for each of their queues. `failure` is about the first that has none."""

    queues: list[str]
    ids: list[str]
    bodies: list[bytes]
    confirmed: list[UUID]
    failure: PublishFailed | None


def _rows(events: Sequence[IntegrationEvent], bindings: Sequence[str]) -> _Rows:
    rows = _Rows([], [], [], [], None)
    parted = [(queue, pattern) for queue, _, pattern in (each.partition(" ") for each in bindings)]
    for event in events:
        key = event.routing_key
        queues = {queue for queue, pattern in parted if matches(pattern, key)}
        if not queues:
            return rows._replace(failure=Unroutable(f"{key} belongs to no queue"))
        public_id, body = event.public_id, event.to_json()
        for queue in sorted(queues):
            rows.queues.append(queue)
            rows.ids.append(public_id)
            rows.bodies.append(body)
        rows.confirmed.append(event.id)
    return rows


async def _stand_by(connection: Connection, queue: str) -> None:
    """Return when this process is the one that consumes the queue; the lock goes with the connection."""
    while True:
        stop_if_cancelled()
        cursor = await connection.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_CONSUMER_LOCK, queue)
        )
        ((locked,),) = await cursor.fetchall()
        if locked:
            return
        await asyncio.sleep(_STANDBY_SECONDS)


def _as_failure(error: Exception) -> PublishFailed:
    """What callers wait out; anything else is our own defect and goes on as it is."""
    if not is_transient(error):
        raise error
    return PublishFailed(f"the database: {type(error).__name__}")
