"""What costs hardly more for many than for one: who asks while it is being done is in the next round."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from projections.connections import is_transient

Item = TypeVar("Item")
Result = TypeVar("Result")


class Together(Generic[Item, Result]):
    """Collects items until `work` can take them; its result is that of each of them."""

    def __init__(self, work: Callable[[Sequence[Item]], Awaitable[Result]]) -> None:
        self._work = work
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._working: asyncio.Task[None] | None = None

    async def do(self, item: Item) -> Result:
        """Return, or raise, what came of the round this was in; it begins after this call."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._working is None:
            self._working = asyncio.create_task(self._rounds(), name="together")
        return await done

    async def _rounds(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                await self._round(waiting)
        finally:
            self._working = None

    async def _round(self, waiting: Sequence[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        try:
            result = await self._work([item for item, _ in waiting])
        except Exception as error:  # noqa: BLE001  # it is theirs who asked
            if len(waiting) > 1 and not is_transient(error):
                # One of them is to blame; the others must not fail with it.
                for each in waiting:
                    await self._round([each])
                return
            for _, done in waiting:
                if not done.done():
                    done.set_exception(error)
        else:
            for _, done in waiting:
                if not done.done():
                    done.set_result(result)
