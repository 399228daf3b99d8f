"""The broker of an installation without one: queues in tables of our own database.

The same promises as RabbitMQ, at least once and in order per stream, at the cost of a row per event and
queue. Committing is not waited for (`projections/connections.py`): the checkpoint of the relay is committed
later in the same database, so a crash that loses messages loses the checkpoint behind them as well.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple
from uuid import UUID

import structlog
from psycopg_pool import AsyncConnectionPool

from integration.broker import (
    Handler,
    Letter,
    Published,
    PublishFailed,
    Subscription,
    Tally,
    Unroutable,
)
from integration.dead_letters import bury
from integration.event import IntegrationEvent
from integration.handling import Verdict, handle, read
from integration.patterns import matches
from integration.turns import Turn, Turns
from projections.backoff import Backoff
from projections.connections import Connection, connect, is_transient, stop_if_cancelled

# The first of two keys of the advisory lock that whoever consumes a queue holds; the second is its name.
_CONSUMER_LOCK = 0x7EB0
_POLL_SECONDS = 0.25
_STANDBY_SECONDS = 1.0

_TAKE = """
UPDATE integration.local_messages m SET deliveries = m.deliveries + 1
    FROM (SELECT id FROM integration.local_messages
            WHERE queue = %(queue)s AND available_at <= clock_timestamp() AND id <> ALL(%(held)s)
            ORDER BY id LIMIT %(limit)s) AS next
    WHERE m.queue = %(queue)s AND m.id = next.id
    RETURNING m.id, m.message_id, m.body, m.attempts, m.deliveries
"""
_LATER = """
UPDATE integration.local_messages
    SET attempts = attempts + 1, deliveries = 0,
        available_at = clock_timestamp() + make_interval(secs => %s)
    WHERE queue = %s AND id = %s
"""

_log = structlog.get_logger(__name__)


class _Message(NamedTuple):
    id: int
    message_id: str
    body: bytes
    attempts: int
    deliveries: int


class LocalBroker:
    """Queues in PostgreSQL. `pool` must be open, and must allow one connection per queue consumed here."""

    def __init__(self, database_url: str, pool: AsyncConnectionPool[Connection]) -> None:
        self._database_url = database_url
        self._pool = pool
        self._bells: set[asyncio.Event] = set()

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
                cursor = await connection.execute("SELECT queue, pattern FROM integration.local_bindings")
                bindings: list[tuple[str, str]] = await cursor.fetchall()
                rows: list[tuple[str, str, bytes]] = []
                confirmed: list[UUID] = []
                failure: PublishFailed | None = None
                for event in events:
                    key = event.routing_key
                    queues = {queue for queue, pattern in bindings if matches(pattern, key)}
                    if not queues:
                        failure = Unroutable(f"{key} belongs to no queue")
                        break
                    body = event.to_json()
                    rows += [(queue, event.public_id, body) for queue in sorted(queues)]
                    confirmed.append(event.id)
                await _insert(connection, rows)
        except Exception as error:  # noqa: BLE001  # translated, or raised again
            return Published(frozenset(), _as_failure(error))
        self._ring()
        return Published(frozenset(confirmed), failure)

    async def redeliver(self, queue: str, letter: Letter) -> None:
        """Put a dead letter back."""
        try:
            async with self._pool.connection() as connection:
                await _insert(connection, [(queue, letter.id, letter.body)])
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
                    session = _Session(self._pool, subscription, handler, tally or Tally())
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


class _Session:
    """Consuming one queue, while its lock is held."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        subscription: Subscription,
        handler: Handler,
        tally: Tally,
    ) -> None:
        self._pool = pool
        self._subscription = subscription
        self._handler = handler
        self._tally = tally
        self._turns = Turns()
        self._held: set[int] = set()
        # Rung when something is published in this process, and when a handler is done.
        self.bell = asyncio.Event()

    async def run(self, connection: Connection, backoff: Backoff) -> None:
        """Until cancelled, or until the database is lost. `connection` holds the lock."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                stop_if_cancelled()
                self.bell.clear()
                room = self._subscription.concurrency - len(self._held)
                taken = await self._take(connection, room) if room else []
                backoff.reset()
                for message in taken:
                    self._begin(tasks, message)
                if not taken:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_POLL_SECONDS):
                            await self.bell.wait()

    async def _take(self, connection: Connection, room: int) -> list[_Message]:
        cursor = await connection.execute(
            _TAKE, {"queue": self._subscription.queue, "held": list(self._held), "limit": room}
        )
        return sorted(_Message(*row) for row in await cursor.fetchall())

    def _begin(self, tasks: asyncio.TaskGroup, message: _Message) -> None:
        event = read(message.body)
        if isinstance(event, Verdict):
            task = tasks.create_task(self._settle(message, event))
        else:
            task = tasks.create_task(self._deal(message, event, self._turns.ask(event.stream_id)))
        self._held.add(message.id)
        task.add_done_callback(lambda _: self._let_go(message))

    def _let_go(self, message: _Message) -> None:
        self._held.discard(message.id)
        self.bell.set()

    async def _deal(self, message: _Message, event: IntegrationEvent, turn: Turn) -> None:
        async with turn.taken():
            if message.deliveries > self._subscription.deliveries_max:
                verdict = Verdict(error="whoever handled it died, again and again")
            else:
                verdict = await handle(self._subscription, self._handler, event, message.attempts)
            await self._settle(message, verdict)

    async def _settle(self, message: _Message, verdict: Verdict) -> None:
        """Gone, later, or dead."""
        queue = self._subscription.queue
        async with self._pool.connection() as connection:
            if verdict.error is not None and verdict.pause is not None:
                await connection.execute(_LATER, (verdict.pause, queue, message.id))
            else:
                async with connection.transaction():
                    if verdict.error is not None:
                        await bury(connection, queue, Letter(message.message_id, message.body), verdict.error)
                    await connection.execute(
                        "DELETE FROM integration.local_messages WHERE queue = %s AND id = %s",
                        (queue, message.id),
                    )
        self._tally.note(verdict.outcome)


async def _insert(connection: Connection, rows: Sequence[tuple[str, str, bytes]]) -> None:
    if rows:
        queues, ids, bodies = zip(*rows, strict=True)
        # The order of the numbers is the order of the rows, so the order in which they are consumed.
        await connection.execute(
            "INSERT INTO integration.local_messages (queue, message_id, body) "
            "SELECT queue, message_id, body FROM unnest(%s::text[], %s::text[], %s::bytea[]) "
            "WITH ORDINALITY AS u (queue, message_id, body, n) ORDER BY n",
            (list(queues), list(ids), list(bodies)),
        )


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
