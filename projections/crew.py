"""A rebuild in several processes: each folds its share of the partitions, and says how far it is.

Python folds on one core per process, and partitions have nothing to do with each other. A helper holds no
lock: the one who called it holds the advisory lock of the projection, and each helper ends as soon as that
process does, however it ended. What a helper has committed stays, as in any interrupted rebuild.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import Any

import structlog
from redis.asyncio import Redis

from projections.building import Build, BuildFailed, Progress
from projections.connections import open_pool
from projections.failures import describe
from projections.fold import Folder
from projections.lane import Lane
from projections.long_lived import collect_seldom
from projections.pages import EventLog
from projections.pressure import Pressure
from projections.projector import AnyProjection
from projections.redis_lane import RedisLane
from projections.side_by_side import side_by_side
from projections.sql_lane import SqlLane
from read_model.cache import Keys

OpenLog = Callable[[], AbstractAsyncContextManager[EventLog]]
"""Opens a log for the caller alone. A crew pickles it: a function of a module, or a partial of one."""

_SPAWN = multiprocessing.get_context("spawn")
# One folds while the database writes for the other.
_SIDE_BY_SIDE = 2


Moved = Callable[[Mapping[int, int], str | None], None]
"""Hears where partitions are, and what their helper waits for, if anything."""


class HelperDied(Exception):
    """A helper ended before its work did: killed, out of memory, or cut off. What it has committed stays."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one helper is to do."""

    projection: type[AnyProjection]
    generation: int
    skips: Mapping[tuple[str, int], Collection[int]]
    targets: Mapping[int, int]
    batch: int | None = None
    commit_seconds_max: float | None = None


@dataclass(frozen=True, slots=True)
class Crew:
    """How helpers reach the log and the places they write to."""

    open_log: OpenLog
    database_url: str
    redis_url: str

    async def fold(self, shares: Sequence[Share], moved: Moved) -> None:
        """A process for each share, until all are done.

        Raises BuildFailed for the first event that cannot be folded, and ends the others; HelperDied where
        one of them ends otherwise.
        """
        helpers = [_Helper(self, share) for share in shares]
        try:
            await side_by_side(helper.listen(moved) for helper in helpers)
        finally:
            for helper in helpers:
                helper.end()


def shared_out(positions: Mapping[int, int], targets: Mapping[int, int], jobs: int) -> list[dict[int, int]]:
    """The targets in so many shares, or fewer, of about equal work: the largest first, to who has least."""
    missing = {partition: target - positions[partition] for partition, target in targets.items()}
    work = sorted((partition for partition in targets if missing[partition] > 0), key=lambda p: -missing[p])
    shares: list[dict[int, int]] = [{} for _ in range(min(jobs, len(work)))]
    for partition in work:
        least = min(shares, key=lambda share: sum(missing[p] for p in share))
        least[partition] = targets[partition]
    return shares


class _Helper:
    """A process as its caller sees it."""

    def __init__(self, crew: Crew, share: Share) -> None:
        self._pipe, other = _SPAWN.Pipe(duplex=False)
        self._process: BaseProcess = _SPAWN.Process(target=_help, args=(crew, share, other), daemon=True)
        self._process.start()
        other.close()

    async def listen(self, moved: Moved) -> None:
        """Until it is done."""
        loop = asyncio.get_running_loop()
        while True:
            said = asyncio.Event()
            loop.add_reader(self._pipe.fileno(), said.set)
            try:
                await said.wait()
            finally:
                loop.remove_reader(self._pipe.fileno())
            try:
                what, content = self._pipe.recv()
            except EOFError:
                # It is gone; joining is what tells how.
                self._process.join()
                raise HelperDied(f"a helper of the rebuild ended: {self._process.exitcode}") from None
            if what == "done":
                return
            if what == "failed":
                name, partition, position, cause = content
                raise BuildFailed(name, partition, position) from HelperSaid(cause)
            if what == "crashed":
                raise HelperDied(content)
            moved(*content)

    def end(self) -> None:
        """At any moment this is safe: a transaction is whole or has no effect."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


class HelperSaid(Exception):
    """Why a helper could not fold an event, in its own words."""


# --- in the helper ------------------------------------------------------------------------------------


def _help(crew: Crew, share: Share, pipe: Pipe) -> None:
    """The life of a helper."""
    # Ctrl-C reaches all processes of a terminal; the caller ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Standard output is that of the caller, and belongs to its data.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    collect_seldom()
    try:
        asyncio.run(_fold(crew, share, pipe))
    except BuildFailed as failed:
        cause = describe(failed.__cause__ or failed)
        pipe.send(("failed", (failed.projection, failed.partition, failed.position, cause)))
    except Exception as error:  # noqa: BLE001  # whatever it is: the caller shall hear of it
        pipe.send(("crashed", describe(error)))
    else:
        pipe.send(("done", None))


async def _fold(crew: Crew, share: Share, pipe: Pipe) -> None:
    caller = multiprocessing.parent_process()
    if caller is not None:
        asyncio.get_running_loop().add_reader(caller.sentinel, os._exit, 1)

    def say(progress: Progress) -> None:
        pipe.send(("moved", (dict(progress.positions), progress.waiting_for)))

    client: Redis = Redis.from_url(crew.redis_url, socket_timeout=5, socket_connect_timeout=2)
    try:
        async with (
            crew.open_log() as log,
            open_pool(crew.database_url, size=_SIDE_BY_SIDE, name="rebuild-helper", patient=True) as pool,
        ):
            lanes: dict[str, Any] = {
                "sql": SqlLane(pool),
                "redis": RedisLane(client, pool, Keys(log.installation, log.epoch)),
            }
            lane: Lane = lanes[share.projection.lane]
            # Each holds itself back: it feels what commits cost as well as its caller does.
            async with Pressure(
                crew.database_url, share.projection.name, share.commit_seconds_max
            ) as pressure:
                build = Build(
                    lane,
                    log,
                    Folder(share.projection()),
                    share.generation,
                    list(share.targets),
                    share.skips,
                    say,
                    serving=share.projection.version,
                    batch=share.batch,
                    pressure=pressure,
                )
                await build.locate()
                await build.fold_to(share.targets, jobs=_SIDE_BY_SIDE, phase="build")
    finally:
        await client.aclose()
