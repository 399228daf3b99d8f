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
from write_model.store.rows import FACT_COLUMNS, FACT_VERSION

# A second one fills the time the first spends in the database; more of them only make each of them smaller.
_READS_MAX = 2
_STREAMS_MAX = 2_000

_FACTS = f"SELECT {FACT_COLUMNS} FROM ccontrol.read_facts(%b, %b, %b, %b, %b)"  # noqa: S608 - our names

Ask = Callable[[str, tuple[object, ...]], Awaitable[list[Row]]]
_Companies = dict[UUID, dict[UUID, int]]
"""The streams of each company, and the version each is read after."""


@dataclass(slots=True, eq=False)
class _Wanted:
    company_id: UUID
    after: Mapping[UUID, int]
    rows: "asyncio.Future[dict[UUID, list[Row]]]"


class Loader:
    """Reads the streams of one partition."""

    def __init__(self, partition: int, ask: Ask) -> None:
        self._partition = partition
        self._ask = ask
        self._waiting: deque[_Wanted] = deque()
        self._reads: set[asyncio.Task[None]] = set()
        self._reading = 0

    async def load(self, company_id: UUID, after: Mapping[UUID, int]) -> dict[UUID, list[Row]]:
        """The events of these streams after the versions given, each stream in order: `FACT_COLUMNS`."""
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
                companies = _streams_of(together)
                _hand_out(together, companies, await self._ask(_FACTS, self._parameters(companies)))
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
        return together

    def _parameters(self, companies: _Companies) -> tuple[object, ...]:
        return (
            self._partition,
            Uuids(companies),
            Integers(map(len, companies.values())),
            Uuids(stream for streams in companies.values() for stream in streams),
            Integers(version for streams in companies.values() for version in streams.values()),
        )


def _streams_of(together: list[_Wanted]) -> _Companies:
    companies: _Companies = {}
    for wanted in together:
        streams = companies.setdefault(wanted.company_id, {})
        for stream, version in wanted.after.items():
            # Two may know different versions of one stream: what both need is read once.
            streams[stream] = min(version, streams.get(stream, version))
    return companies


def _hand_out(together: list[_Wanted], companies: _Companies, rows: list[Row]) -> None:
    found: list[list[Row]] = [[] for streams in companies.values() for _ in streams]
    for row in rows:
        found[row[0] - 1].append(row)
    each = iter(found)
    by_company = {
        company: {stream: next(each) for stream in streams} for company, streams in companies.items()
    }
    for wanted in together:
        if not wanted.rows.done():
            streams = by_company[wanted.company_id]
            wanted.rows.set_result(
                {
                    stream: streams[stream]
                    if version == companies[wanted.company_id][stream]
                    else [row for row in streams[stream] if row[FACT_VERSION] > version]
                    for stream, version in wanted.after.items()
                }
            )
