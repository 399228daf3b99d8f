"""Consuming one queue of the local broker: many messages are taken, and settled, in one statement each."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

import structlog
from psycopg_pool import AsyncConnectionPool

from integration.broker import Handler, Letter, Subscription, Tally
from integration.dead_letters import bury
from integration.event import IntegrationEvent
from integration.handling import Verdict, handle, read
from integration.turns import Turn, Turns
from projections.backoff import Backoff
from projections.connections import Connection, is_transient, stop_if_cancelled

_POLL_SECONDS = 0.25
# What happens within this time is settled together.
_GATHER_SECONDS = 0.05
# Taken and not settled: so many are handled again when this process dies.
_HELD_MAX = 256
_LEAVE_SECONDS = 2.0
_FLOOR_SECONDS = 1.0

# Held, shared, by whoever writes messages, from before they get their numbers until they are committed.
_WRITERS_LOCK = 0x7EB1
WRITING = f"pg_advisory_xact_lock_shared({_WRITERS_LOCK})"
# Whether at this moment nobody does: then all that has a lower number than one we have seen can be seen, too.
_NOBODY_WRITES = f"SELECT pg_try_advisory_xact_lock({_WRITERS_LOCK})"
_LOWEST = "SELECT min(id) FROM integration.local_messages WHERE queue = %s AND id >= %s"

# Somebody died with a message that was taken before: then they are taken one by one, or those that were taken
# together with a deadly one would at last be given up with it. By `ctid`, as nobody else changes these rows,
# and the planner takes the table for an empty one, which it mostly is.
_TAKE = """
UPDATE integration.local_messages SET deliveries = deliveries + 1
    WHERE ctid = ANY(ARRAY(
        SELECT ctid
            FROM (SELECT ctid, row_number() OVER (ORDER BY id) AS place, max(deliveries) OVER () AS deaths
                    FROM (SELECT ctid, id, deliveries FROM integration.local_messages
                            WHERE queue = %(queue)s AND id >= %(floor)s AND id <> ALL(%(held)s)
                                AND available_at <= clock_timestamp()
                            ORDER BY id LIMIT %(limit)s) AS waiting) AS next
            WHERE deaths = 0 OR (place = 1 AND %(alone)s)))
    RETURNING id, message_id, body, attempts, deliveries
"""
_GONE = "DELETE FROM integration.local_messages WHERE queue = %s AND id = ANY(%s)"
_LATER = """
UPDATE integration.local_messages m
    SET attempts = attempts + 1, deliveries = 0,
        available_at = clock_timestamp() + make_interval(secs => again.pause)
    FROM unnest(%(ids)s::bigint[], %(pauses)s::float8[]) AS again (id, pause)
    WHERE m.queue = %(queue)s AND m.id = again.id
"""

_log = structlog.get_logger(__name__)


class _Message(NamedTuple):
    id: int
    message_id: str
    body: bytes
    attempts: int
    deliveries: int


_Judged = tuple[_Message, Verdict]


class Session:
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
        self._places = asyncio.Semaphore(subscription.concurrency)
        self._held: set[int] = set()
        self._judged: list[_Judged] = []
        # Nothing of this queue has a lower number, or ever will. What is gone stays in the index as long as
        # somebody, such as a backup, holds an old snapshot: without this each look would step over all of it.
        self._floor = 0
        self._highest = 0
        self._raise_floor_at = monotonic() + _FLOOR_SECONDS
        # Rung when something is published in this process, and when a handler is done.
        self.bell = asyncio.Event()

    async def run(self, connection: Connection, backoff: Backoff) -> None:
        """Until cancelled, or until the database is lost. `connection` holds the lock."""
        # The rows are few, but what is gone may lie about for long: it is never to be read whole.
        await connection.execute("SET enable_seqscan = off")
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    stop_if_cancelled()
                    self.bell.clear()
                    await self._settle(connection)
                    await self._raise_floor(connection)
                    room = max(_HELD_MAX, self._subscription.concurrency) - len(self._held)
                    taken = await self._take(connection, room) if room else []
                    backoff.reset()
                    for message in taken:
                        self._begin(tasks, message)
                    if len(taken) < room or not room:
                        # Nothing is gathered from one that is taken alone.
                        await self._rest(0 if _is_alone(taken) else _GATHER_SECONDS)
            except asyncio.CancelledError:
                await self._leave()
                raise

    async def _rest(self, least_seconds: float) -> None:
        """A moment in any case, and then until there may be something to do."""
        await asyncio.sleep(least_seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await self.bell.wait()

    async def _leave(self) -> None:
        """What is done already need not come again. Of no consequence when it fails."""
        try:
            async with asyncio.timeout(_LEAVE_SECONDS), self._pool.connection() as connection:
                await self._settle(connection)
        except Exception as error:
            if not is_transient(error):
                raise
            _log.info("unsettled", queue=self._subscription.queue, error=type(error).__name__)

    async def _take(self, connection: Connection, room: int) -> list[_Message]:
        cursor = await connection.execute(
            _TAKE,
            {
                "queue": self._subscription.queue,
                "floor": self._floor,
                "held": list(self._held),
                "limit": room,
                "alone": not self._held,
            },
        )
        taken = sorted(_Message(*row) for row in await cursor.fetchall())
        if taken:
            self._highest = max(self._highest, taken[-1].id)
        return taken

    async def _raise_floor(self, connection: Connection) -> None:
        """Now and then, if nobody is just writing: a number may be given before a lower one is committed."""
        if monotonic() < self._raise_floor_at:
            return
        self._raise_floor_at = monotonic() + _FLOOR_SECONDS
        ((nobody_writes,),) = await (await connection.execute(_NOBODY_WRITES)).fetchall()
        if nobody_writes:
            values = (self._subscription.queue, self._floor)
            ((lowest,),) = await (await connection.execute(_LOWEST, values)).fetchall()
            self._floor = self._highest + 1 if lowest is None else min(lowest, self._highest + 1)

    def _begin(self, tasks: asyncio.TaskGroup, message: _Message) -> None:
        self._held.add(message.id)
        event = read(message.body)
        if isinstance(event, Verdict):
            self._judge(message, event)
        else:
            tasks.create_task(self._deal(message, event, self._turns.ask(event.stream_id)))

    async def _deal(self, message: _Message, event: IntegrationEvent, turn: Turn) -> None:
        async with turn.taken(), self._places:
            if message.deliveries > self._subscription.deliveries_max:
                verdict = Verdict(error="whoever handled it died, again and again")
            else:
                verdict = await handle(self._subscription, self._handler, event, message.attempts)
        self._judge(message, verdict)

    def _judge(self, message: _Message, verdict: Verdict) -> None:
        self._judged.append((message, verdict))
        self.bell.set()

    async def _settle(self, connection: Connection) -> None:
        """Gone, later, or dead. What is not settled when this fails is delivered again."""
        judged = self._judged.copy()
        if not judged:
            return
        queue = self._subscription.queue
        again = [(message.id, verdict.pause) for message, verdict in judged if verdict.outcome == "retried"]
        gone = [message.id for message, verdict in judged if verdict.outcome != "retried"]
        dead = [(message, verdict) for message, verdict in judged if verdict.outcome == "buried"]
        if again:
            ids, pauses = zip(*again, strict=True)
            values = {"queue": queue, "ids": list(ids), "pauses": list(pauses)}
            await connection.execute(_LATER, values)
        if dead:
            async with connection.transaction():
                await self._bury(connection, dead)
                await connection.execute(_GONE, (queue, gone))
        elif gone:
            await connection.execute(_GONE, (queue, gone))
        del self._judged[: len(judged)]
        for message, verdict in judged:
            self._held.discard(message.id)
            self._tally.note(verdict.outcome)

    async def _bury(self, connection: Connection, dead: Sequence[_Judged]) -> None:
        for message, verdict in dead:
            letter = Letter(message.message_id, message.body)
            await bury(connection, self._subscription.queue, letter, verdict.error or "")


def _is_alone(taken: Sequence[_Message]) -> bool:
    """Whether somebody died with it before."""
    return any(message.deliveries > 1 for message in taken)
