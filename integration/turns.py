"""One at a time for each stream, in the order of asking; different streams side by side."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID


class Turns:
    """Remembers only the streams somebody is waiting for."""

    def __init__(self) -> None:
        self._last: dict[UUID, asyncio.Future[None]] = {}

    def ask(self, stream_id: UUID) -> "Turn":
        """Queue up, at once: the order of these calls is the order of the turns."""
        before = self._last.get(stream_id)
        done = self._last[stream_id] = asyncio.get_running_loop().create_future()

        def forget(_: asyncio.Future[None]) -> None:
            if self._last.get(stream_id) is done:
                del self._last[stream_id]

        done.add_done_callback(forget)
        return Turn(before, done)


class Turn:
    """A place in the queue of one stream."""

    def __init__(self, before: "asyncio.Future[None] | None", done: "asyncio.Future[None]") -> None:
        self._before = before
        self._done = done

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for those ahead; whoever comes behind waits until this is left."""
        try:
            if self._before is not None:
                # Shielded: if we are cancelled, the one ahead is not.
                await asyncio.shield(self._before)
            yield
        finally:
            if not self._done.done():
                self._done.set_result(None)
