"""How fast `ledger_lines` is rebuilt, and how much memory the processes that do it take."""

import asyncio
import multiprocessing
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing.process import BaseProcess
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

REBUILD = "rebuild, ledger_lines"
PROCESSES = 2
_LOOK_SECONDS = 0.1


@asynccontextmanager
async def open_log(url: str, key: Path) -> AsyncIterator[Log]:
    """In whatever process."""
    log = await Log.open(url, KeyRing.create(key))
    try:
        yield log
    finally:
        await log.close()


def _peak_mebibytes(helper: BaseProcess) -> int:
    """The most memory it has had so far."""
    try:
        status = Path(f"/proc/{helper.pid}/status").read_text()
    except OSError:  # gone meanwhile
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found else 0


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
            rebuilding = asyncio.create_task(workshop.rebuild("ledger_lines", jobs=PROCESSES, compare=False))
            peak = 0
            while not rebuilding.done():
                peak = max([peak, *map(_peak_mebibytes, multiprocessing.active_children())])
                await asyncio.wait([rebuilding], timeout=_LOOK_SECONDS)
            taken = time.perf_counter() - begun
            await rebuilding
        say(f"largest helper: {peak} MiB")
        return Sample(written, taken, [taken])

    return Case(
        workload=REBUILD,
        peer="ccontrol",
        concurrency=PROCESSES,
        run=run,
        unit="events/s",
        notes={"events": written},
    )
