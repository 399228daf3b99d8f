"""How fast `ledger_lines` is rebuilt, and how much memory the processes that do it take."""

import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

from benchmarks.business import write_business
from benchmarks.harness import Case, Sample, say
from projections import bookkeeping
from projections.rebuild import open_workshop
from write_model.store.log import Log
from write_model.store.migrations import upgrade
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

_PROCESSES = 2


@asynccontextmanager
async def open_log(url: str, key: Path) -> AsyncIterator[Log]:
    """In whatever process."""
    log = await Log.open(url, KeyRing.create(key))
    try:
        yield log
    finally:
        await log.close()


async def rebuild_case(url: str, redis_url: str, key: Path, events: int) -> Case:
    """Write the log, then measure."""
    upgrade(url)
    await bookkeeping.ensure(url)
    store = await Store.open(url, KeyRing.create(key), uuid4)
    written = await write_business(store, events)
    await store.close()

    async def run(seconds: float) -> Sample:
        async with (
            open_log(url, key) as log,
            open_workshop(url, redis_url, log, open_log=partial(open_log, url, key)) as workshop,
        ):
            begun = time.perf_counter()
            await workshop.rebuild("ledger_lines", jobs=_PROCESSES, compare=False)
            taken = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        say(f"largest helper so far: {peak} MiB")
        return Sample(written, taken, [taken])

    return Case(
        workload="rebuild, ledger_lines",
        peer="ccontrol",
        concurrency=_PROCESSES,
        run=run,
        unit="events/s",
        notes={"events": written},
    )
