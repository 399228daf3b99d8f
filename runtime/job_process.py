"""A process that does one waiting job and ends.

Rebuilding keeps a processor busy. In a process of its own, with less claim on the machine than those who
serve people, it slows nobody's questions down; and when it is killed, the next one goes on where it stopped.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress

import structlog

from projections.jobs import JobLost, told_failure
from runtime.logs import configure_logs
from runtime.projection_work import open_bench
from runtime.settings import Settings

_NICER = 5

_log = structlog.get_logger(__name__)


def main() -> int:
    """Take the next job, and do it; SIGTERM gives it back."""
    configure_logs()
    os.nice(_NICER)
    with suppress(asyncio.CancelledError):
        asyncio.run(_one(Settings()))
    return 0


async def _one(settings: Settings) -> None:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)
    async with open_bench(settings) as bench:
        job = await bench.jobs.claim(bench.owner)
        if job is None:
            return
        try:
            await bench.do(job)
        except JobLost:
            _log.warning("job_lost", job=str(job.job_id))
        except Exception as error:  # noqa: BLE001  # it is written down with the job, for everybody to see
            _log.warning("job_failed", job=str(job.job_id), why=told_failure(error))


if __name__ == "__main__":
    sys.exit(main())
