"""Several things at once: all of them, or none and no trace."""

import asyncio

import pytest

from projections.side_by_side import side_by_side

pytestmark = pytest.mark.asyncio


async def test_one_that_fails_ends_the_others_and_leaves_its_caller_alone() -> None:
    ended = False

    async def forever() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        await side_by_side([forever(), fails()])
    assert ended
    me = asyncio.current_task()
    assert me is not None
    assert me.cancelling() == 0


async def test_who_waits_can_be_cancelled() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def forever() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(side_by_side([forever()]))
    await started.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
