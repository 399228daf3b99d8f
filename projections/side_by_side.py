"""Doing several things at once, all of them or none."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def side_by_side(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Until all are done. When one fails the others are ended first, and then its error is raised as it is.

    Not a TaskGroup: before Python 3.13 that may leave a cancellation counted on the task that waited, which
    `stop_if_cancelled` would take for the end.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
