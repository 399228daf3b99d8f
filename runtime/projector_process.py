"""The projector process: keeps the read models up to date, has jobs done, signs the heads of the chains."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from projections import bookkeeping, worker
from projections.backoff import Backoff
from projections.connections import is_transient
from projections.jobs import Jobs
from projections.long_lived import collect_seldom
from runtime.blobs import Blobs
from runtime.logs import configure_logs
from runtime.projection_work import open_jobs, process_here
from runtime.scraping import tell_numbers
from runtime.servers.process import TETHER
from runtime.settings import Settings
from runtime.wiring import system_clock
from write_model.store.keeper import Keeper
from write_model.store.log import Log
from write_model.store.personal_data import KeyRing
from write_model.store.sealer import Sealer

_JOBS_EVERY_SECONDS = 0.5


def main(settings: Settings) -> int:
    """Fold until SIGTERM or SIGINT."""
    configure_logs()
    collect_seldom()
    with suppress(asyncio.CancelledError):
        uvloop.run(_fold(settings))
    return 0


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[Log]:
    """The log of events, as a projector reads it."""
    log = await Log.open(settings.database_url, KeyRing.create(settings.root_key))
    try:
        yield log
    finally:
        await log.close()


async def _fold(settings: Settings) -> None:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)
    tell_numbers(settings)
    await bookkeeping.ensure(settings.database_url)
    key = load_pem_private_key(settings.checkpoints_key.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{settings.checkpoints_key} is not an Ed25519 key")
    sealer = Sealer(settings.database_url, key, system_clock)
    blobs = Blobs.open(settings.blob_url, settings.state)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run(settings.database_url, settings.redis_url, lambda: open_log(settings)))
        tasks.create_task(sealer.run())
        tasks.create_task(Keeper(settings.database_url, blobs.put).run())
        tasks.create_task(_have_jobs_done(settings))


async def _have_jobs_done(settings: Settings) -> None:
    """One after the other, each in a process of its own, which ends when this one does."""
    command = [sys.executable, "-P", "-m", "runtime.job_process"]
    tether = [sys.executable, "-I", "-S", str(TETHER), str(int(signal.SIGKILL)), str(os.getpid()), "-"]
    backoff = Backoff()
    async with open_jobs(settings) as jobs:
        while True:
            await asyncio.sleep(_JOBS_EVERY_SECONDS)
            try:
                if not await jobs.waiting():
                    continue
            except Exception as error:
                if not is_transient(error):
                    raise
                continue
            working = await asyncio.create_subprocess_exec(*tether, *command)
            try:
                if await working.wait() == 0:
                    backoff.reset()
                else:
                    await _given_up(jobs, working.pid)
                    await asyncio.sleep(backoff.failed())
            finally:
                if working.returncode is None:
                    working.terminate()
                    await working.wait()


async def _given_up(jobs: Jobs, pid: int) -> None:
    """A process that was killed could not give its job back; where this fails, silence will tell."""
    try:
        await jobs.give_back(process_here(pid))
    except Exception as error:
        if not is_transient(error):
            raise
