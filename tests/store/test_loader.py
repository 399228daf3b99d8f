"""Reads that happen at the same time share round trips, and nothing else: each gets its own events only."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from tests.store.submissions import appended, claimed, submission
from write_model.store.append import StoreUnavailable
from write_model.store.connections import Row
from write_model.store.loader import Loader
from write_model.store.store import Store

pytestmark = pytest.mark.asyncio


def of_one_partition(store: Store, number: int) -> list[UUID]:
    """So many companies of partition 0."""
    found: list[UUID] = []
    while len(found) < number:
        company = uuid4()
        if store.partition_of(company) == 0:
            found.append(company)
    return found


async def test_many_readers_of_many_companies_each_get_their_own(store: Store) -> None:
    companies = of_one_partition(store, 4)
    streams = {company: [uuid4() for _ in range(5)] for company in companies}
    for company in companies:
        for length, stream in enumerate(streams[company]):
            if length:
                facts = [claimed(f"{company}/{number}") for number in range(length)]
                await appended(store, submission(company, stream, 0, *facts))

    async def read(company: UUID, stream: UUID, after: int) -> list[int]:
        return [event.version for event in (await store.read_on(company, {stream: after}))[stream]]

    asked = [(c, s, after) for c in companies for s in streams[c] for after in (0, 1, 3, 9)]
    answers = await asyncio.gather(*(read(*one) for one in asked))
    for (company, stream, after), versions in zip(asked, answers, strict=True):
        length = streams[company].index(stream)
        assert versions == list(range(after + 1, length + 1))


async def test_a_stream_of_another_company_is_empty_also_when_read_in_one_round_trip(store: Store) -> None:
    ours, theirs = of_one_partition(store, 2)
    stream = uuid4()
    await appended(store, submission(theirs, stream))
    mine, real = await asyncio.gather(store.read_on(ours, {stream: 0}), store.read_on(theirs, {stream: 0}))
    assert mine == {stream: []}
    assert len(real[stream]) == 1
    assert await store.read_streams(ours, [stream]) == {stream: []}


class Database:
    """Answers when it is let, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = asyncio.Event()
        self.error: Exception | None = None

    async def rows(self, query: str, parameters: Sequence[object]) -> list[Row]:
        self.asked += 1
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return []


async def test_a_hundred_reads_take_a_few_round_trips() -> None:
    database = Database()
    loader = Loader(0, database.rows)
    reads = [asyncio.create_task(loader.load(uuid4(), {uuid4(): 0})) for _ in range(100)]
    await asyncio.sleep(0)
    late = [asyncio.create_task(loader.load(uuid4(), {uuid4(): 0})) for _ in range(100)]
    await asyncio.sleep(0.01)
    database.open.set()
    assert [list(found.values()) for found in await asyncio.gather(*reads, *late)] == [[[]]] * 200
    assert database.asked <= 3


async def test_who_no_longer_waits_disturbs_nobody() -> None:
    database = Database()
    loader = Loader(0, database.rows)
    reads = [asyncio.create_task(loader.load(uuid4(), {uuid4(): 0})) for _ in range(3)]
    await asyncio.sleep(0)
    reads[0].cancel()
    database.open.set()
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert [list(found.values()) for found in outcomes[1:] if isinstance(found, dict)] == [[[]], [[]]]


async def test_all_who_read_together_hear_that_the_database_is_away_and_the_next_are_served() -> None:
    database = Database()
    database.open.set()
    database.error = StoreUnavailable("gone")
    loader = Loader(0, database.rows)
    outcomes = await asyncio.gather(
        *(loader.load(uuid4(), {uuid4(): 0}) for _ in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    database.error = None
    stream = uuid4()
    assert await loader.load(uuid4(), {stream: 0}) == {stream: []}


async def test_whoever_asks_at_the_moment_the_last_read_ends_is_not_forgotten() -> None:
    database = Database()
    database.open.set()
    loader = Loader(0, database.rows)

    async def read_again_and_again() -> None:
        for _ in range(50):
            stream = uuid4()
            assert await loader.load(uuid4(), {stream: 0}) == {stream: []}

    async with asyncio.timeout(10):
        await asyncio.gather(*(read_again_and_again() for _ in range(5)))
