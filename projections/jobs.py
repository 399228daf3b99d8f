"""Long work on projections as rows: asked for by anybody, done by one, seen by all while it goes on.

    queued ──▶ running ──▶ done | failed | cancelled
                  │  ▲
                  └──┘ whoever did it was killed: another one takes it over, where it stopped

A job in the foreground of a command line is a row as well, so that everybody sees it; but when it is killed
it is only `interrupted`, and goes on when somebody runs the command again.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from projections.backoff import Backoff
from projections.building import BuildFailed, OnProgress, Progress
from projections.connections import Connection, is_transient, stop_if_cancelled
from projections.crew import HelperDied
from projections.failures import describe
from projections.premises import RebuildBusy, UnknownProjection
from projections.promotion import PromotionBlocked
from projections.rebuild import NothingBuilt, NothingKept
from projections.roster import REBUILD_LOCK
from projections.trouble import trouble

Act = Literal["rebuild", "compare", "promote", "rollback"]
T = TypeVar("T")

_KEEP_SECONDS = 1.0
_SILENT_SECONDS = 10
_LOCK = 0x7EB0

# Who has not been heard of for a while is gone. What it did in the foreground nobody else takes over.
_STATE = (
    f"CASE WHEN state = 'running' AND NOT detached AND heartbeat_at < clock_timestamp() - "
    f"interval '{_SILENT_SECONDS} seconds' THEN 'interrupted' ELSE state END"
)
_COLUMNS = (
    f"job_id, act, projection, options, requested_by, requested_at, {_STATE}, started_at, ended_at, "
    "progress, outcome"
)
_ADD = f"""
INSERT INTO read.jobs (job_id, act, projection, options, requested_by, detached, owner, state, started_at,
        heartbeat_at)
    SELECT %(job_id)s, %(act)s, name, %(options)s::text::jsonb, %(requested_by)s, %(owner)s::text IS NULL,
            %(owner)s, CASE WHEN %(owner)s::text IS NULL THEN 'queued' ELSE 'running' END,
            CASE WHEN %(owner)s::text IS NOT NULL THEN clock_timestamp() END, clock_timestamp()
        FROM read.projections WHERE name = %(projection)s
    RETURNING {_COLUMNS}
"""  # noqa: S608  # our own column names
# The lock says for certain that nobody is at work, except in the moment between the row and the lock.
_GIVEN_UP = """
SELECT NOT detached AND started_at < clock_timestamp() - interval '1 second'
    AND pg_try_advisory_xact_lock(%s, hashtext(projection)) FROM read.jobs WHERE job_id = %s
"""
_CLAIM = f"""
UPDATE read.jobs SET state = 'running', owner = %s, started_at = coalesce(started_at, clock_timestamp()),
        heartbeat_at = clock_timestamp()
    WHERE job_id = (SELECT job_id FROM read.jobs
        WHERE detached AND (state = 'queued' OR (state = 'running'
            AND heartbeat_at < clock_timestamp() - interval '{_SILENT_SECONDS} seconds'))
        ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING {_COLUMNS}
"""  # noqa: S608  # our own column names

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work."""

    job_id: UUID
    act: Act
    projection: str
    options: Mapping[str, Any]
    requested_by: str
    requested_at: datetime
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    progress: Mapping[str, Any] | None
    outcome: Mapping[str, Any] | None

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled", "interrupted")


class JobRunning(Exception):
    """Something is being done to this projection already."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__(str(job_id))
        self.job_id = job_id


class JobLost(Exception):
    """Somebody else has taken this job over, because we were silent for too long."""


class JobCancelled(Exception):
    """Somebody asked for the job to be stopped. What was built is kept."""


class Jobs:
    """The table of jobs."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool

    async def add(
        self,
        job_id: UUID,
        act: Act,
        projection: str,
        options: Mapping[str, Any],
        requested_by: str,
        *,
        owner: str | None = None,
    ) -> Job:
        """Ask for work; with an owner, say that one does it oneself. Raises JobRunning, UnknownProjection."""
        async with self._pool.connection() as connection, connection.transaction():
            # What was answered with an id is there after a crash.
            await connection.execute("SET LOCAL synchronous_commit = on")
            await connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK, projection))
            await self._make_room(connection, projection)
            cursor = await connection.execute(
                _ADD.encode(),
                {
                    "job_id": job_id,
                    "act": act,
                    "projection": projection,
                    "options": json.dumps(dict(options)),
                    "requested_by": requested_by,
                    "owner": owner,
                },
            )
            row = await cursor.fetchone()
        if row is None:
            raise UnknownProjection(projection)
        return Job(*row)

    async def _make_room(self, connection: Connection, projection: str) -> None:
        """Close the book on what was killed in the foreground; raise JobRunning for anything else."""
        cursor = await connection.execute(
            "SELECT job_id FROM read.jobs WHERE projection = %s AND state IN ('queued', 'running')",
            (projection,),
        )
        for (running,) in await cursor.fetchall():
            given_up = await connection.execute(_GIVEN_UP, (REBUILD_LOCK, running))
            if await given_up.fetchone() != (True,):
                raise JobRunning(running)
            await connection.execute(
                "UPDATE read.jobs SET state = 'interrupted', ended_at = heartbeat_at WHERE job_id = %s",
                (running,),
            )

    async def claim(self, owner: str) -> Job | None:
        """Take the next job that nobody does."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_CLAIM.encode(), (owner,))).fetchone()
        return Job(*row) if row else None

    async def waiting(self) -> bool:
        """Whether there is one to take."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT EXISTS (SELECT FROM read.jobs WHERE detached AND (state = 'queued' OR "
                "(state = 'running' AND heartbeat_at < clock_timestamp() - make_interval(secs => %s))))",
                (_SILENT_SECONDS,),
            )
            return await cursor.fetchone() == (True,)

    async def keep(self, job_id: UUID, owner: str, progress: Progress | None) -> bool:
        """Say that it is still being done, and how far; False when it is to be stopped. Raises JobLost."""
        told = None if progress is None else json.dumps(asdict(progress))
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "UPDATE read.jobs SET heartbeat_at = clock_timestamp(), "
                "progress = coalesce(%s::text::jsonb, progress) "
                "WHERE job_id = %s AND owner = %s AND state = 'running' RETURNING cancel_requested",
                (told, job_id, owner),
            )
            found = await cursor.fetchone()
        if found is None:
            raise JobLost(str(job_id))
        return found == (False,)

    async def finish(self, job_id: UUID, owner: str, state: str, outcome: Mapping[str, Any]) -> None:
        """It is over."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE read.jobs SET state = %s, outcome = %s::text::jsonb, ended_at = clock_timestamp() "
                "WHERE job_id = %s AND owner = %s AND state = 'running'",
                (state, json.dumps(dict(outcome), default=str), job_id, owner),
            )

    async def give_back(self, owner: str, job_id: UUID | None = None) -> None:
        """It is not over, and somebody else shall go on with it. Without an id: the owner has died."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE read.jobs SET owner = NULL, "
                "state = CASE WHEN detached THEN 'queued' ELSE 'interrupted' END "
                "WHERE owner = %s AND state = 'running' AND (%s::uuid IS NULL OR job_id = %s)",
                (owner, job_id, job_id),
            )

    async def cancel(self, job_id: UUID) -> Job | None:
        """Have it stopped, within a second or two where it is running."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE read.jobs SET cancel_requested = true, "
                "state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END, "
                "ended_at = CASE state WHEN 'queued' THEN clock_timestamp() ELSE ended_at END "
                "WHERE job_id = %s AND state IN ('queued', 'running')",
                (job_id,),
            )
        return await self.find(job_id)

    async def find(self, job_id: UUID) -> Job | None:
        """One of them."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                f"SELECT {_COLUMNS} FROM read.jobs WHERE job_id = %s",  # noqa: S608
                (job_id,),
            )
            row = await cursor.fetchone()
        return Job(*row) if row else None

    async def latest(self, limit: int, projection: str | None = None) -> list[Job]:
        """The last that were asked for, the latest first."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                f"SELECT {_COLUMNS} FROM read.jobs "  # noqa: S608
                "WHERE %s::text IS NULL OR projection = %s ORDER BY requested_at DESC LIMIT %s",
                (projection, projection, limit),
            )
            return [Job(*row) for row in await cursor.fetchall()]


async def recorded(
    jobs: Jobs,
    job: Job,
    owner: str,
    act: Callable[[OnProgress], Awaitable[T]],
    told: Callable[[T], Mapping[str, Any]],
) -> T:
    """Do this, while the job says how far it is. Its end is written down; a failure is raised as well."""
    latest: list[Progress] = []

    def report(progress: Progress) -> None:
        latest[:] = [progress]

    async def work() -> T:
        return await act(report)

    doing = asyncio.create_task(work())
    try:
        while not doing.done():
            await asyncio.wait([doing], timeout=_KEEP_SECONDS)
            stop_if_cancelled()
            if not doing.done() and not await _kept(jobs, job, owner, latest[0] if latest else None):
                raise JobCancelled(str(job.job_id))
        if latest:
            await _kept(jobs, job, owner, latest[0])
        result = doing.result()
    except asyncio.CancelledError:
        await _end(doing)
        # Where this fails, silence will tell.
        with suppress(psycopg.OperationalError, PoolTimeout):
            await jobs.give_back(owner, job.job_id)
        raise
    except JobLost:
        await _end(doing)
        raise
    except Exception as error:
        await _end(doing)
        state = "cancelled" if isinstance(error, JobCancelled) else "failed"
        with suppress(psycopg.OperationalError, PoolTimeout):
            await jobs.finish(job.job_id, owner, state, told_failure(error))
        raise
    await _finished(jobs, job, owner, told(result))
    return result


def told_failure(error: Exception) -> dict[str, Any]:
    """Why a job did not come to its end: a stable word, a sentence, and where."""
    match error:
        case BuildFailed():
            at = {"partition": error.partition, "position": error.position}
            return {"code": "build-failed", "message": f"{error}: {describe(error.__cause__ or error)}", **at}
        case JobCancelled():
            return {"code": "cancelled", "message": "stopped on request; what was built is kept"}
        case RebuildBusy():
            return {"code": "busy", "message": f"somebody else is rebuilding or comparing {error}"}
        case NothingKept():
            return {"code": "nothing-kept", "message": f"no former generation of {error} is kept"}
        case NothingBuilt():
            return {"code": "nothing-built", "message": f"no built generation of {error} waits to be served"}
        case PromotionBlocked():
            return {
                "code": "promotion-blocked",
                "message": f"long questions kept {error} from being switched; what was built is kept",
            }
        case HelperDied():
            return {"code": "helper-died", "message": f"{error}; what was built is kept"}
        case JobLost():
            return {"code": "busy", "message": "somebody else has taken it over, and goes on with it"}
        case UnknownProjection():
            return {"code": "projection-unknown", "message": f"there is no projection {error}"}
        case _ if is_transient(error):
            return {"code": "unreachable", "message": f"{trouble(error)}; what was built is kept"}
    return {"code": "internal", "message": describe(error)}


async def _finished(jobs: Jobs, job: Job, owner: str, outcome: Mapping[str, Any]) -> None:
    """It is done; a moment without the database does not make it undone."""
    backoff = Backoff()
    while True:
        try:
            return await jobs.finish(job.job_id, owner, "done", outcome)
        except Exception as error:
            stop_if_cancelled()
            if not is_transient(error):
                raise
            await asyncio.sleep(backoff.failed())


async def _kept(jobs: Jobs, job: Job, owner: str, progress: Progress | None) -> bool:
    """A moment without the database is not the end of the work."""
    try:
        return await jobs.keep(job.job_id, owner, progress)
    except Exception as error:
        stop_if_cancelled()
        if not is_transient(error):
            raise
        _log.warning("job_not_kept", error=type(error).__name__)
        return True


async def _end(doing: "asyncio.Task[Any]") -> None:
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
