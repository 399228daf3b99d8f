"""A projection worker: one process among several that share the partitions between them."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from projections import statistics, tenure, tidying
from projections.announcer import Announcer
from projections.backoff import Backoff
from projections.building import BuildFailed, Progress
from projections.catalogue import PROJECTIONS
from projections.connections import Connection, is_transient, open_pool, stop_if_cancelled
from projections.failures import Failures, describe
from projections.feed import Feed
from projections.lane import Fence
from projections.leases import Leases
from projections.pages import EventLog
from projections.premises import Premises, RebuildBusy
from projections.projector import AnyProjection
from projections.rebuild import Workshop
from projections.roster import Catalogue, Roster
from projections.status import observe, status
from read_model.database import open_engine

OpenLog = Callable[[], AbstractAsyncContextManager[EventLog]]

_LOOK_SECONDS = 0.5
_UPGRADE_SECONDS = 1.0
# Not in the first moments, which belong to those who wait for reports.
_TIDY_AFTER_SECONDS = 5.0
_TIDY_SECONDS = 600.0
_MEASURE_SECONDS = 5.0
_HEALTHY_SECONDS = 60.0

_log = structlog.get_logger(__name__)


async def run(
    database_url: str,
    redis_url: str,
    open_log: OpenLog,
    *,
    projections: Sequence[type[AnyProjection]] = PROJECTIONS,
    owner: str | None = None,
    lease_seconds: float = 8.0,
    connections: int = 6,
) -> None:
    """Fold until cancelled. The bookkeeping must have been ensured; `open_log` gives a log of our own."""
    owner = owner or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
    catalogue = Catalogue(projections)
    backoff = Backoff()
    while True:
        begun = time.monotonic()
        client: Redis = Redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=2)
        try:
            async with open_log() as log, open_pool(database_url, size=connections, name="worker") as pool:
                premises = Premises(database_url, pool, client, log, catalogue)
                worker = Worker(premises, pool, owner, lease_seconds)
                # In a task of its own: when one of a group fails, the group cancels the task it was made in,
                # and before Python 3.13 that may stay counted. This one would take it for an end.
                await asyncio.create_task(worker.run(), name="worker")
        except* Exception as errors:
            stop_if_cancelled()
            if not all(isinstance(e, StoreRestored) or is_transient(e) for e in _leaves(errors)):
                raise
            _log.warning("worker_restarts", errors=[type(error).__name__ for error in _leaves(errors)])
        finally:
            await client.aclose()
        stop_if_cancelled()
        if time.monotonic() - begun > _HEALTHY_SECONDS:
            backoff.reset()
        await asyncio.sleep(backoff.failed())


class StoreRestored(Exception):
    """The store has entered another epoch: begin again, knowing nothing."""


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


class _Waits:
    """Says in the log what an upgrade waits for, once each."""

    def __init__(self) -> None:
        self._said: str | None = None

    def told(self, progress: Progress) -> None:
        """Called several times a second."""
        if progress.waiting_for not in (None, self._said):
            _log.warning("upgrade_waits", projection=progress.projection, why=progress.waiting_for)
        self._said = progress.waiting_for


class Worker:
    """Keeps leases, and a feed running for each."""

    def __init__(
        self,
        premises: Premises,
        pool: AsyncConnectionPool[Connection],
        owner: str,
        lease_seconds: float,
    ) -> None:
        self._premises = premises
        self._log = premises.log
        self._catalogue = premises.catalogue
        self._pool = pool
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._failures = Failures(pool)
        self._announcer = Announcer(premises.database_url)
        self._workshop = Workshop(premises)
        self._roster = Roster()
        self._epoch = self._log.epoch
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled, or until the database is lost."""
        partitions = sorted(await self._log.heads())
        async with self._pool.connection() as connection:
            await self._catalogue.register(connection, partitions)
            self._roster = await self._catalogue.look(connection)
        stop_if_cancelled()
        lanes = sorted({kind.lane for kind in self._catalogue.kinds.values()})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._announcer.run())
            tasks.create_task(self._keep_looking())
            tasks.create_task(self._keep_measuring())
            tasks.create_task(self._keep_statistics())
            tasks.create_task(self._keep_tidy())
            for lane in lanes:
                tasks.create_task(self._keep_upgrading(lane))
                leases = Leases(self._owner, lane, self._lease_seconds)
                tasks.create_task(tenure.keep(self._premises.database_url, leases, partitions, self._feed))

    # --- the roster -----------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        while True:
            stop_if_cancelled()
            await asyncio.sleep(_LOOK_SECONDS)
            if self._log.epoch != self._epoch:
                # Whatever is known here is of a history that is no more, as are the keys in Redis.
                raise StoreRestored(f"epoch {self._epoch}, now {self._log.epoch}")
            await self._look(self._roster)

    async def _look(self, mistrusted: Roster | None) -> Roster:
        """The roster; looked up anew when the asker has reason to mistrust the one it had.

        Equal rosters stay one object: feeds notice a change by identity.
        """
        if mistrusted is self._roster:
            async with self._looking:
                if mistrusted is self._roster:
                    async with self._pool.connection() as connection:
                        found = await self._catalogue.look(connection)
                    if found != self._roster:
                        self._roster = found
        return self._roster

    async def _keep_measuring(self) -> None:
        """Keep the gauges of this process fresh; nobody waits for them, so no trouble here stops anything."""
        engine = open_engine(self._premises.database_url, pool_size=1)
        kinds = list(self._catalogue.kinds.values())
        try:
            while True:
                stop_if_cancelled()
                try:
                    observe(await status(engine, self._log, projections=kinds))
                except Exception as error:  # noqa: BLE001  # shown, and tried again
                    stop_if_cancelled()
                    _log.warning("projections_not_measured", error=describe(error))
                await asyncio.sleep(_MEASURE_SECONDS)
        finally:
            await engine.dispose()

    async def _keep_statistics(self) -> None:
        """Tell the planner what has grown; plans are slower without, and no trouble here stops anything."""
        while True:
            stop_if_cancelled()
            await asyncio.sleep(_MEASURE_SECONDS)
            try:
                async with self._pool.connection() as connection:
                    await statistics.refresh(connection)
            except Exception as error:  # noqa: BLE001  # said, and tried again
                stop_if_cancelled()
                _log.warning("statistics_not_refreshed", error=describe(error))

    async def _keep_tidy(self) -> None:
        """Drop what nobody goes back to any more; no trouble here stops anything."""
        await asyncio.sleep(_TIDY_AFTER_SECONDS)
        while True:
            for forget in tidying.EVERYTHING:
                try:
                    await forget(self._premises)
                except Exception as error:  # noqa: BLE001  # in nobody's way; the next time will do
                    stop_if_cancelled()
                    _log.warning("not_tidied", what=forget.__name__, error=describe(error))
                stop_if_cancelled()
            await asyncio.sleep(_TIDY_SECONDS)

    async def _keep_upgrading(self, lane: str) -> None:
        """Where the code is newer than what is served: build its generation beside, and switch to it.

        Each lane by itself: what waits for Redis holds back nothing that is in tables.
        """
        backoff = Backoff()
        while True:
            stop_if_cancelled()
            await asyncio.sleep(_UPGRADE_SECONDS)
            for entry in self._roster.outdated(lane):
                try:
                    await self._workshop.rebuild(entry.name, compare=False, on_progress=_Waits().told)
                    backoff.reset()
                except RebuildBusy:
                    continue
                except BuildFailed as failed:
                    # The old generation goes on being served; what is built is kept, in front of the event.
                    await self._failures.record_build(failed, entry.folder.projection.version)
                except Exception as error:  # noqa: BLE001  # whatever it is: tried again, and never silent
                    stop_if_cancelled()
                    # The old generation goes on being served; what was built is gone on with.
                    _log.warning("upgrade_failed", projection=entry.name, error=describe(error))
                    await asyncio.sleep(backoff.failed())

    def _feed(self, fence: Fence) -> Coroutine[Any, Any, None]:
        return Feed(
            self._premises.lanes[fence.lane],
            self._log,
            fence,
            self._failures,
            look=self._look,
            # Those of Redis lag behind what Redis shows, and nobody waits for them.
            moved=self._announcer.moved if fence.lane == "sql" else lambda followers: None,
        ).run()
