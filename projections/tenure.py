"""Keeps a task running for every partition whose lease this process holds, and for no other."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import structlog

from projections.connections import Connection, connect, stop_if_cancelled
from projections.lane import Fence
from projections.leases import Leases

_log = structlog.get_logger(__name__)

Work = Callable[[Fence], Coroutine[Any, Any, None]]
_Tasks = dict[int, tuple[Fence, asyncio.Task[None]]]


async def keep(database_url: str, leases: Leases, partitions: Sequence[int], work: Work) -> None:
    """Run `work` for each lease until it is lost; until cancelled, or until the database is lost.

    `work` may be cancelled at any moment, and its writes must be fenced by the lease.
    """
    tasks: _Tasks = {}
    async with await connect(database_url, name="leases") as connection:
        await leases.arrive(connection)
        await leases.prepare(connection, partitions)
        try:
            while True:
                stop_if_cancelled()
                await _beat(leases, connection, tasks, work)
                await asyncio.sleep(leases.seconds / 4)
        finally:
            await _end(tasks, list(tasks))
            with suppress(Exception):
                await leases.leave(connection)


async def _beat(leases: Leases, connection: Connection, tasks: _Tasks, work: Work) -> None:
    held, surplus = await leases.beat(connection)
    if surplus > 0:
        given = [fence.partition for fence in held[-surplus:]]
        held = held[:-surplus]
        await _end(tasks, given)
        await leases.release(connection, given)
    elif surplus < 0:
        held += await leases.claim(connection, -surplus)
    valid = {fence.partition: fence for fence in held}
    await _end(tasks, [at for at, (fence, _) in tasks.items() if valid.get(at) != fence])
    for partition, (_, task) in list(tasks.items()):
        if task.done():
            del tasks[partition]
            if task.cancelled():
                # Not by us: something inside let a cancellation of its own out. Asked for its exception, the
                # task would end this as well, and nobody would fold here any more.
                _log.error("partition_ended", lane=leases.lane, partition=partition)
            elif error := task.exception():
                # Our own defect: it must not take the other partitions down. The next beat tries again.
                _log.error("partition_crashed", lane=leases.lane, partition=partition, exc_info=error)
    for partition, fence in valid.items():
        if partition not in tasks:
            tasks[partition] = (fence, asyncio.create_task(work(fence)))


async def _end(tasks: _Tasks, partitions: Sequence[int]) -> None:
    """Cancel these. At any moment this is safe: a transaction is whole or has no effect."""
    ended = [tasks.pop(partition)[1] for partition in partitions if partition in tasks]
    for task in ended:
        task.cancel()
    await asyncio.gather(*ended, return_exceptions=True)
