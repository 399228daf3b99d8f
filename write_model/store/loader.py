"""Streams that are asked for at the same time are read together, in one round trip.

The counterpart of group commit: while as many reads of a partition are on their way as help, whatever is
asked for gathers, and the next one brings all of it, whichever companies it belongs to.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from write_model.store.arrays import Integers, Uuids
from write_model.store.connections import Row
from write_model.store.rows import COMPANY, EVENT_COLUMNS, STREAM, VERSION

# A second one fills the time the first spends in the database; more of them only make each of them smaller.
_READS_MAX = 2
_STREAMS_MAX = 2_000

_STREAMS = f"SELECT {EVENT_COLUMNS} FROM ccontrol.read_streams(%b, %b, %b, %b, %b)"  # noqa: S608 - our names

Ask = Callable[[str, tuple[object, ...]], Awaitable[list[Row]]]


@dataclass(slots=True, eq=False)
class _Wanted:
    company_id: UUID
    after: Mapping[UUID, int]
    rows: "asyncio.Future[list[Row]]"


class Loader:
    """Reads the streams of one partition."""

    def __init__(self, partition: int, ask: Ask) -> None:
        self._partition = partition
        self._ask = ask
        self._waiting: deque[_Wanted] = deque()
        self._reads: set[asyncio.Task[None]] = set()
        self._reading = 0

    async def load(self, company_id: UUID, after: Mapping[UUID, int]) -> list[Row]:
        """The events of these streams after the versions given, each stream in order."""
        wanted = _Wanted(company_id, after, asyncio.get_running_loop().create_future())
        self._waiting.append(wanted)
        if self._reading < _READS_MAX:
            # Counted here and in the read itself, not by its end: between the two somebody may ask.
            self._reading += 1
            read = asyncio.create_task(self._read(), name=f"loader-{self._partition}")
            self._reads.add(read)
            read.add_done_callback(self._reads.discard)
        return await wanted.rows

    async def close(self) -> None:
        """Let what was asked for be answered."""
        await asyncio.gather(*self._reads)

    async def _read(self) -> None:
        try:
            await self._drain()
        finally:
            self._reading -= 1

    async def _drain(self) -> None:
        while self._waiting:
            together = self._gather()
            try:
                _hand_out(together, await self._ask(_STREAMS, self._parameters(together)))
            except Exception as error:  # noqa: BLE001 - it is the waiters'
                for wanted in together:
                    if not wanted.rows.done():
                        wanted.rows.set_exception(error)

    def _gather(self) -> list[_Wanted]:
        together: list[_Wanted] = []
        streams = 0
        while self._waiting and streams < _STREAMS_MAX:
            wanted = self._waiting.popleft()
            if not wanted.rows.done():  # its asker may have gone
                together.append(wanted)
                streams += len(wanted.after)
        # The database names a company once for all of its streams.
        together.sort(key=lambda wanted: wanted.company_id.int)
        return together

    def _parameters(self, together: list[_Wanted]) -> tuple[object, ...]:
        companies: dict[UUID, dict[UUID, int]] = {}
        for wanted in together:
            streams = companies.setdefault(wanted.company_id, {})
            for stream, version in wanted.after.items():
                # Two may know different versions of one stream: what both need is read once.
                streams[stream] = min(version, streams.get(stream, version))
        return (
            self._partition,
            Uuids(companies),
            Integers(map(len, companies.values())),
            Uuids(stream for streams in companies.values() for stream in streams),
            Integers(version for streams in companies.values() for version in streams.values()),
        )


def _hand_out(together: list[_Wanted], rows: list[Row]) -> None:
    streams: dict[tuple[UUID, UUID], list[Row]] = {}
    for row in rows:
        streams.setdefault((row[COMPANY], row[STREAM]), []).append(row)
    for wanted in together:
        if not wanted.rows.done():
            wanted.rows.set_result(
                [
                    row
                    for stream, version in wanted.after.items()
                    for row in streams.get((wanted.company_id, stream), ())
                    if row[VERSION] > version
                ]
            )
