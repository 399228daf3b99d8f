"""Reading the log page by page: what projections ask of it, reading ahead, and what must hold of a page."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Protocol

from projections.connections import Permanent, is_transient
from write_model.message import Event, Recorded

# Streams remembered per partition to check their versions; then it begins anew. Some 10 MiB at most.
_STREAMS_MAX = 100_000


class EventLog(Protocol):
    """What projections ask of the log."""

    @property
    def epoch(self) -> int:
        """Which store this is: another one after a restore."""
        ...

    @property
    def installation(self) -> str:
        """Which database this is, as keys in Redis say it."""
        ...

    async def page(
        self, partition: int, after: int, limit: int, kinds: Collection[type[Event]] | None = None
    ) -> list[Recorded]:
        """The events behind a position, in order, without gaps, decoded; UNREAD unless of one of `kinds`."""
        ...

    async def head(self, partition: int) -> int:
        """The position of the last event, 0 when there is none."""
        ...

    async def heads(self) -> dict[int, int]:
        """The same of every partition there is."""
        ...

    async def wait(self, partition: int, beyond: int, timeout_seconds: float) -> None:
        """Return when the head is beyond this position, or when the time is up."""
        ...


class LogUnreadable(Permanent):
    """The event at this position cannot be read, or does not follow the one before it."""

    def __init__(self, partition: int, position: int, why: str) -> None:
        super().__init__(f"partition {partition}, position {position}: {why}")
        self.position = position
        self.why = why


_Read = tuple[list[Recorded], bool]
_Wanted = tuple[int, int, frozenset[type[Event]] | None]


class Pages:
    """The pages of one partition, the next one being read while the present one is folded."""

    def __init__(self, log: EventLog, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._ahead: tuple[_Wanted, asyncio.Task[_Read]] | None = None
        self._order = Order(partition)
        self.at_head = False
        """Whether the last page ended at the head of the log, as far as one can know."""

    async def after(
        self, position: int, limit: int, kinds: frozenset[type[Event]] | None, *, read_ahead: bool = False
    ) -> list[Recorded]:
        """The events behind `position`, checked: at most `limit`, fewer at the head or before a bad event.

        Only those of `kinds` are read whole, as decoding is most of what reading costs; with None all are.
        """
        read = await self._taken((position, limit, kinds))
        page, whole = read if read is not None else await self._read((position, limit, kinds))
        good = self._order.check(page, position)
        self.at_head = whole and good == len(page) < limit
        page = page[:good]
        if read_ahead and len(page) == limit:
            wanted = (page[-1].position, limit, kinds)
            self._ahead = (wanted, asyncio.create_task(self._read(wanted)))
            # Asked before the present page keeps this loop busy, the database works meanwhile.
            await asyncio.sleep(0)
        return page

    async def close(self) -> None:
        """Forget what was read ahead."""
        if self._ahead is not None:
            task = self._ahead[1]
            self._ahead = None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _taken(self, wanted: _Wanted) -> _Read | None:
        if self._ahead is None:
            return None
        if self._ahead[0] != wanted:
            await self.close()
            return None
        task = self._ahead[1]
        self._ahead = None
        return await task

    async def _read(self, wanted: _Wanted) -> _Read:
        """A page; where one event in it cannot be read, the events before that one, and False."""
        position, limit, kinds = wanted
        while True:
            try:
                page = await self._log.page(self._partition, position, limit, kinds)
            except Exception as error:
                if is_transient(error):
                    raise
                if limit == 1:
                    # What the error says may quote the event; whoever may see it looks at its cause.
                    raise LogUnreadable(self._partition, position + 1, type(error).__name__) from error
                limit = max(1, limit // 8)
            else:
                return page, limit == wanted[1]


class Order:
    """Checks that positions have no gap and that the versions of a stream follow each other.

    A stream met for the first time is believed: its earlier events may be before the point we started at.
    """

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._position = -1
        self._versions: dict[int, int] = {}

    def check(self, page: Sequence[Recorded], after: int) -> int:
        """How many events from the start are in order. Raises LogUnreadable when the first one is not."""
        if after != self._position:
            self._versions.clear()
        versions = self._versions
        good = 0
        for expected, recorded in enumerate(page, after + 1):
            stream = recorded.stream_id.int  # a UUID hashes itself in Python, a number does not
            version = recorded.version
            if recorded.position != expected or versions.get(stream, version - 1) != version - 1:
                break
            versions[stream] = version
            good += 1
        self._position = after + good
        if len(versions) > _STREAMS_MAX:
            versions.clear()
        if page and not good:
            first = page[0]
            self._position = -1
            found = f"found position {first.position}, version {first.version} of stream {first.stream_id}"
            raise LogUnreadable(self._partition, after + 1, f"out of order: {found}")
        return good
