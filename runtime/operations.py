"""What operators may do to projections, for the doors: the same acts as on the command line."""

import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

from psycopg_pool import AsyncConnectionPool
from sqlalchemy.ext.asyncio import AsyncEngine

from api.operations import Act, Told
from api.problems import Problem
from projections import metrics, operate
from projections.connections import Connection, is_transient, open_pool
from projections.jobs import JobRunning, Jobs
from projections.premises import UnknownProjection
from projections.status import observe, status
from runtime.projection_words import told_job, told_projection
from runtime.projection_work import new_job_id
from write_model.store.log import Log
from write_model.values.identifiers import encode

T = TypeVar("T")

_JOBS_MEASURED = 20


class ProjectionOperations:
    """Made by `open_operations`."""

    def __init__(
        self, database_url: str, engine: AsyncEngine, log: Log, pool: AsyncConnectionPool[Connection]
    ) -> None:
        self._url = database_url
        self._engine = engine
        self._log = log
        self._jobs = Jobs(pool)

    async def projections(self) -> list[Told]:
        """Everything that is known of every projection."""
        return [told_projection(each) for each in await status(self._engine, self._log)]

    async def measure(self) -> None:
        """Whoever asks this process for numbers is told of the projections, which run in another one."""
        observe(await _done(status(self._engine, self._log)))
        jobs = await _done(self._jobs.latest(_JOBS_MEASURED))
        # What is over is not said to be under way for ever.
        metrics.REBUILD_RATIO.clear()
        for job in jobs:
            if job.progress is not None and job.state == "running":
                ratio = job.progress["done"] / job.progress["total"] if job.progress["total"] else 1.0
                metrics.REBUILD_RATIO.labels(job.projection).set(ratio)

    async def pause(self, name: str, reason: str, actor: str) -> None:
        """Stop folding."""
        await _done(operate.pause(self._url, name, f"{reason} ({actor})", actor=actor))

    async def resume(self, name: str, reason: str | None, actor: str) -> None:
        """Fold again."""
        await _done(operate.resume(self._url, name, actor=actor, reason=reason))

    async def skip(
        self, name: str, partition: int | None, position: int, reason: str, actor: str, *, break_glass: bool
    ) -> int:
        """Leave an event out."""
        return await _done(
            operate.skip(
                self._url, name, partition, position, reason=reason, actor=actor, break_glass=break_glass
            )
        )

    async def ask(self, act: Act, name: str, options: Mapping[str, Any], actor: str) -> Told:
        """A job for the projector."""
        return told_job(await _done(self._jobs.add(new_job_id(), act, name, options, actor)))

    async def job(self, job_id: UUID) -> Told | None:
        """One job."""
        found = await _done(self._jobs.find(job_id))
        return None if found is None else _plain(told_job(found))

    async def jobs(self, limit: int, projection: str | None = None) -> list[Told]:
        """The latest first."""
        return [_plain(told_job(job)) for job in await _done(self._jobs.latest(limit, projection))]

    async def cancel(self, job_id: UUID) -> Told | None:
        """Have it stopped."""
        found = await _done(self._jobs.cancel(job_id))
        return None if found is None else _plain(told_job(found))


@asynccontextmanager
async def open_operations(
    database_url: str, engine: AsyncEngine, log: Log
) -> AsyncIterator[ProjectionOperations]:
    """Connected as the projector; what is asked of it was permitted at the door."""
    async with open_pool(database_url, size=2, name="operations") as pool:
        yield ProjectionOperations(database_url, engine, log, pool)


async def _done(act: Awaitable[T]) -> T:
    """The outcome; what cannot be, as the doors say it."""
    try:
        return await act
    except UnknownProjection:
        raise Problem("not-found") from None
    except JobRunning as running:
        job = encode("job", running.job_id)
        link = {"title": "Follow it", "method": "GET", "href": f"/v1/jobs/{job}"}
        raise Problem("job-running", params={"job": job}, actions=[link]) from None
    except (operate.NotStopped, operate.AmbiguousPosition) as why:
        code = "partition-required" if isinstance(why, operate.AmbiguousPosition) else "not-stopped-there"
        raise Problem(code) from None
    except operate.SkipRefused:
        raise Problem("break-glass-required") from None
    except Exception as error:
        if not is_transient(error):
            raise
        raise Problem("dependency-down", headers={"Retry-After": "1"}) from None


def _plain(told: Told) -> Told:
    """Compared with what was told before: so all of it as JSON has it."""
    found: Told = json.loads(json.dumps(told, default=str))
    return found
