"""Work on projections that takes a while, done by a command line, or by a process of its own."""

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

from projections.building import OnProgress, Progress
from projections.connections import Connection, connect, open_pool
from projections.jobs import Act, Job, Jobs, recorded
from projections.rebuild import Workshop, open_workshop
from runtime.projection_words import told_comparison, told_outcome
from runtime.settings import Settings
from runtime.wiring import SystemIds
from write_model.store.log import Log
from write_model.store.personal_data import KeyRing


@dataclass(frozen=True, slots=True)
class Bench:
    """What the work needs, connected."""

    database_url: str
    log: Log
    workshop: Workshop
    jobs: Jobs
    owner: str

    async def register(self) -> None:
        """Let every projection be known, also where no projector has run yet."""
        async with await connect(self.database_url, name="register", patient=True) as connection:
            await self.workshop.catalogue.register(connection, await self.log.heads())

    async def events(self) -> int:
        """How many there are in the log."""
        return sum((await self.log.heads()).values())

    async def begin(self, act: Act, projection: str, options: Mapping[str, Any], actor: str) -> Job:
        """Write down what is going to be done here. Raises JobRunning, UnknownProjection."""
        return await self.jobs.add(new_job_id(), act, projection, options, actor, owner=self.owner)

    async def do(self, job: Job, watch: OnProgress | None = None) -> Any:
        """Do it, watched; the result of the workshop, or what it raises."""
        return await recorded(self.jobs, job, self.owner, lambda note: self._act(job, note, watch), _told)

    async def _act(self, job: Job, note: OnProgress, watch: OnProgress | None) -> Any:
        report = _both(note, watch)
        name, options = job.projection, dict(job.options)
        match job.act:
            case "rebuild":
                return await self.workshop.rebuild(name, on_progress=report, **options)
            case "compare":
                return await self.workshop.compare(name, on_progress=report, **options)
            case "promote":
                return await self.workshop.promote(name, on_progress=report, **options)
            case "rollback":
                return await self.workshop.rollback(name)


@asynccontextmanager
async def open_bench(settings: Settings) -> AsyncIterator[Bench]:
    """A workshop, a log with the keys, and the table of jobs."""
    async with (
        open_log(settings) as log,
        open_jobs(settings) as jobs,
        open_workshop(
            settings.database_url, settings.redis_url, log, open_log=partial(open_log, settings)
        ) as workshop,
    ):
        yield Bench(settings.database_url, log, workshop, jobs, this_process())


@asynccontextmanager
async def open_jobs(settings: Settings) -> AsyncIterator[Jobs]:
    """The table of jobs alone."""
    pool: AsyncConnectionPool[Connection]
    async with open_pool(settings.database_url, size=2, name="jobs") as pool:
        yield Jobs(pool)


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[Log]:
    """Rows about people are folded in clear, as the projector folds them: so with the keys."""
    log = await Log.open(settings.database_url, KeyRing.read(settings.root_key))
    try:
        yield log
    finally:
        await log.close()


def new_job_id() -> UUID:
    """An id for one more job."""
    return SystemIds().new()


def this_process() -> str:
    """Who does it."""
    return process_here(os.getpid())


def process_here(pid: int) -> str:
    """A process of this machine, as the owner of a job."""
    return f"{socket.gethostname()}:{pid}"


def _told(result: Any) -> Mapping[str, Any]:
    match result:
        case int():
            return {"generation": result}
        case None:
            return told_comparison(None)
    return told_outcome(result) if hasattr(result, "promoted") else told_comparison(result)


def _both(note: OnProgress, watch: OnProgress | None) -> Callable[[Progress], None]:
    if watch is None:
        return note

    def report(progress: Progress) -> None:
        note(progress)
        watch(progress)

    return report
