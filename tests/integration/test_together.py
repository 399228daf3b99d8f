"""Many at once, and each gets what is its own."""

import asyncio
from collections.abc import Sequence

import pytest

from integration.together import Together

pytestmark = pytest.mark.asyncio


async def test_who_asks_while_it_is_being_done_is_in_the_next_round() -> None:
    rounds: list[list[int]] = []
    go_on = asyncio.Event()

    async def work(items: Sequence[int]) -> int:
        rounds.append(list(items))
        await go_on.wait()
        return len(items)

    together = Together(work)
    first = [asyncio.create_task(together.do(n)) for n in range(3)]
    while not rounds:  # noqa: ASYNC110  # the first round has begun
        await asyncio.sleep(0)
    second = [asyncio.create_task(together.do(n)) for n in range(3, 5)]
    await asyncio.sleep(0)
    go_on.set()
    assert await asyncio.gather(*first, *second) == [3, 3, 3, 2, 2]
    assert rounds == [[0, 1, 2], [3, 4]]


async def test_one_that_is_to_blame_fails_alone() -> None:
    async def work(items: Sequence[int]) -> str:
        if 2 in items:
            raise ValueError("two")
        return "done"

    together = Together(work)
    results = await asyncio.gather(*(together.do(n) for n in range(4)), return_exceptions=True)
    assert [str(result) for result in results] == ["done", "done", "two", "done"]


async def test_what_passes_is_everybodys_and_the_next_is_tried_anew() -> None:
    tries = 0

    async def work(items: Sequence[int]) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ConnectionError
        return tries

    together = Together(work)
    results = await asyncio.gather(*(together.do(n) for n in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == 4 * [ConnectionError]
    assert await together.do(5) == 2


async def test_who_leaves_does_not_take_the_others_along() -> None:
    go_on = asyncio.Event()

    async def work(items: Sequence[int]) -> int:
        await go_on.wait()
        return len(items)

    together = Together(work)
    leaving, staying = asyncio.create_task(together.do(1)), asyncio.create_task(together.do(2))
    await asyncio.sleep(0)
    leaving.cancel()
    go_on.set()
    assert await staying == 2
