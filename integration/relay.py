"""Tells the world what was recorded: follows the log like a projector, and its output is the broker.

Each partition is followed by one process at a time, which holds its lease. The checkpoint moves behind the
broker's confirm, inside a transaction that checks the lease: after a crash, or when two processes believe to
hold it, events are sent twice, never not at all. A broker that is down stops nobody else; when it is back,
the relay catches up.

It reads the log without keys, so it could not tell anything personal if it wanted to.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool

from integration.broker import Broker, Publisher, Subscription
from integration.event import told
from integration.signed_heads import SignedHeads
from projections import tenure
from projections.backoff import Backoff
from projections.bookkeeping import CHECKPOINT_MOVED, LEASE_LOST
from projections.connections import Connection, is_transient, open_pool, stop_if_cancelled
from projections.failures import describe
from projections.lane import CheckpointMoved, Fence, LeaseLost
from projections.leases import Leases
from projections.pages import EventLog, Pages
from write_model.message import Recorded

LANE = "relay"
_PAGE_EVENTS = 500
_IDLE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 10.0

OpenLog = Callable[[], AbstractAsyncContextManager[EventLog]]

_log = structlog.get_logger(__name__)


async def run(
    database_url: str,
    open_log: OpenLog,
    broker: Broker,
    subscriptions: Sequence[Subscription],
    *,
    owner: str,
    lease_seconds: float = 8.0,
) -> None:
    """Relay until cancelled. The bookkeeping must have been ensured; `owner` names this process only."""
    backoff = Backoff(longest_seconds=_LONGEST_PAUSE_SECONDS)
    while True:
        try:
            async with open_log() as log, open_pool(database_url, size=4, name="relay") as pool:
                relay = Relay(pool, log, broker, subscriptions)
                partitions = sorted(await log.heads())
                await relay.prepare(partitions)
                leases = Leases(owner, LANE, lease_seconds)
                await tenure.keep(database_url, leases, partitions, relay.follow)
        except Exception as error:
            stop_if_cancelled()
            if not is_transient(error):
                raise
            _log.warning("relay_restarts", error=type(error).__name__)
        stop_if_cancelled()
        await asyncio.sleep(backoff.failed())


class Relay:
    """What the partitions of one process have in common."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        log: EventLog,
        broker: Broker,
        subscriptions: Sequence[Subscription],
    ) -> None:
        self._pool = pool
        self._log = log
        self._broker = broker
        self._subscriptions = subscriptions
        self._signed = SignedHeads(pool)

    async def prepare(self, partitions: Sequence[int]) -> None:
        """A checkpoint for every partition."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO integration.relay (partition) SELECT unnest(%s::smallint[]) "
                "ON CONFLICT DO NOTHING",
                (list(partitions),),
            )

    async def follow(self, fence: Fence) -> None:
        """Relay one partition until its lease is lost or this is cancelled."""
        backoff = Backoff(longest_seconds=_LONGEST_PAUSE_SECONDS)
        pages = Pages(self._log, fence.partition)
        async with self._broker.publisher() as publisher:
            course = _Course(self._pool, fence)
            # Queues first: an event nobody has a queue for would be refused, and rightly so.
            # And the place anew when the store was restored: it may lie before the one we know.
            prepared_for: int | None = None
            try:
                while True:
                    stop_if_cancelled()
                    try:
                        if prepared_for != self._log.epoch:
                            prepared_for = self._log.epoch
                            await self._broker.declare(self._subscriptions)
                            await course.look()
                        await self._signed.send(publisher, fence.partition)
                        page = await pages.after(course.position, _PAGE_EVENTS, None, read_ahead=True)
                        if page:
                            await self._send(publisher, course, page)
                            backoff.reset()
                        if pages.at_head:
                            await self._log.wait(fence.partition, course.position, _IDLE_SECONDS)
                        if not page:
                            # Somebody may have put it back: what was in a queue that is lost is told again.
                            await course.look()
                            await course.rest()
                    except LeaseLost:
                        return
                    except Exception as error:  # noqa: BLE001  # nothing is ever skipped: tried for ever
                        stop_if_cancelled()
                        prepared_for = None
                        await course.complain(error)
                        await asyncio.sleep(backoff.failed())
            finally:
                await pages.close()

    async def _send(self, publisher: Publisher, course: "_Course", page: Sequence[Recorded]) -> None:
        """All of a page; what is confirmed is not sent again, whatever fails in between."""
        waiting = [told(recorded) for recorded in page]
        while waiting:
            stop_if_cancelled()
            published = await publisher.publish(waiting)
            waiting = [event for event in waiting if event.id not in published.confirmed]
            reached = waiting[0].position - 1 if waiting else page[-1].position
            await course.reach(reached)
            if published.failure is not None:
                if not published.confirmed:
                    raise published.failure
                await course.complain(published.failure)


class _Course:
    """How far a partition has been relayed, written under its lease."""

    def __init__(self, pool: AsyncConnectionPool[Connection], fence: Fence) -> None:
        self._pool = pool
        self._fence = fence
        self.position = 0
        self._has_complained = False

    async def look(self) -> None:
        """Where it stands, and whether somebody has complained there."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT position, error IS NOT NULL FROM integration.relay WHERE partition = %s",
                (self._fence.partition,),
            )
            ((self.position, self._has_complained),) = await cursor.fetchall()

    async def rest(self) -> None:
        """There is nothing to be told: what was complained of is over."""
        if self._has_complained:
            await self._advance(self.position, failed=0, error=None)

    async def reach(self, position: int) -> None:
        """Everything up to here is confirmed."""
        if position > self.position:
            await self._advance(position, failed=0, error=None)

    async def complain(self, error: Exception) -> None:
        """Say why it does not go on; if that cannot be written either, the log has it."""
        said = describe(error)
        _log.warning("relay_waits", partition=self._fence.partition, position=self.position, error=said)
        try:
            await self._advance(self.position, failed=1, error=said)
        except (LeaseLost, CheckpointMoved):
            pass  # the next step finds out
        except Exception as trouble:
            if not is_transient(trouble):
                raise

    async def _advance(self, position: int, *, failed: int, error: str | None) -> None:
        fence = self._fence
        try:
            async with self._pool.connection() as connection:
                await connection.execute(
                    "SELECT integration.advance(%s, %s::smallint, %s, %s, %s, %s, %s, %s)",
                    (
                        fence.lane, fence.partition, fence.owner, fence.epoch,
                        self.position, position, failed, error,
                    ),
                )  # fmt: skip
        except psycopg.Error as failure:
            if failure.sqlstate == LEASE_LOST:
                raise LeaseLost(str(fence.partition)) from failure
            if failure.sqlstate == CHECKPOINT_MOVED:
                raise CheckpointMoved(str(fence.partition)) from failure
            raise
        self.position, self._has_complained = position, error is not None
