"""Many at once: each gets the verdict it would have got alone, and the log has no hole for anybody."""

import asyncio
import random
from uuid import UUID, uuid4

import pytest

from tests.store.submissions import again, appended, companies_of_partition, context, decided, submission
from write_model.store import committer, connections, topics
from write_model.store.append import (
    Appended,
    AppendRefused,
    Conflicted,
    KeysTaken,
    StoreBusy,
    Submission,
)
from write_model.store.batch import APPEND, Batch, prepared
from write_model.store.log import Log
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

pytestmark = pytest.mark.asyncio
COMPANY = UUID("00000000-0000-4000-8000-000000000001")


async def test_two_hundred_copies_of_one_request_have_one_effect(store: Store, log: Log) -> None:
    one = submission(COMPANY, key="once")
    verdicts = await asyncio.gather(*(store.append(again(one)) for _ in range(200)))
    assert sum(isinstance(verdict, Appended) for verdict in verdicts) == 1
    assert sum(isinstance(verdict, KeysTaken) for verdict in verdicts) == 199
    assert await log.head(store.partition_of(COMPANY)) == 1


async def test_copies_on_several_processes_have_one_effect(
    database_url: str, ring: KeyRing, log: Log
) -> None:
    stores = [await Store.open(database_url, ring, uuid4) for _ in range(3)]
    one = submission(COMPANY, key="once")
    verdicts = await asyncio.gather(*(store.append(again(one)) for store in stores for _ in range(30)))
    assert sum(isinstance(verdict, Appended) for verdict in verdicts) == 1
    assert await log.head(stores[0].partition_of(COMPANY)) == 1
    for store in stores:
        await store.close()


async def test_of_many_writers_of_one_version_one_wins(store: Store) -> None:
    stream = uuid4()
    verdicts = await asyncio.gather(*(store.append(submission(COMPANY, stream)) for _ in range(50)))
    assert sum(isinstance(verdict, Appended) for verdict in verdicts) == 1
    assert verdicts.count(Conflicted(frozenset({stream}))) == 49


async def test_those_who_come_too_late_are_told_together(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, calls = uuid4(), 0
    counted = committer.Committer._persistently

    async def count(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        return await counted(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(committer.Committer, "_persistently", count)
    await asyncio.gather(*(store.append(submission(COMPANY, stream)) for _ in range(50)))
    assert calls == 2


@pytest.mark.parametrize(("number", "sizes"), [(1, [1]), (20, [20]), (64, [32, 32]), (101, [51, 50])])
async def test_few_travel_together_and_many_in_two_halves(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, sizes: list[int]
) -> None:
    batches: list[int] = []
    settled = committer.Committer._settle

    async def note(self: committer.Committer, batch: list[object]) -> None:
        batches.append(len(batch))
        await settled(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(committer.Committer, "_settle", note)
    verdicts = await asyncio.gather(*(store.append(submission(COMPANY)) for _ in range(number)))
    assert all(isinstance(verdict, Appended) for verdict in verdicts)
    assert batches == sizes


async def test_two_that_read_what_the_other_writes_cannot_both_succeed(store: Store) -> None:
    for _ in range(20):
        first, second = uuid4(), uuid4()
        verdicts = await asyncio.gather(
            store.append(submission(COMPANY, first, read={second: 0})),
            store.append(submission(COMPANY, second, read={first: 0})),
        )
        assert sum(isinstance(verdict, Appended) for verdict in verdicts) == 1


async def test_a_conflict_does_not_fail_its_neighbours(store: Store) -> None:
    moved = uuid4()
    await appended(store, submission(COMPANY, moved))
    taken = submission(COMPANY, key="taken")
    await appended(store, taken)
    mixed = [submission(COMPANY, moved), again(taken), *(submission(COMPANY) for _ in range(30))]
    random.shuffle(mixed)
    verdicts = await asyncio.gather(*map(store.append, mixed))
    assert sum(isinstance(verdict, Appended) for verdict in verdicts) == 30
    assert sum(isinstance(verdict, Conflicted) for verdict in verdicts) == 1
    assert sum(isinstance(verdict, KeysTaken) for verdict in verdicts) == 1


async def test_what_the_database_refuses_does_not_fail_its_neighbours(store: Store) -> None:
    broken = Submission(
        company_id=COMPANY,
        commands=(decided(context(COMPANY), {}, answer="this is not JSON"),),
        expectations={},
    )
    verdicts = await asyncio.gather(
        store.append(broken),
        *(store.append(submission(COMPANY)) for _ in range(20)),
        return_exceptions=True,
    )
    assert isinstance(verdicts[0], AppendRefused)
    assert all(isinstance(verdict, Appended) for verdict in verdicts[1:])


async def test_who_leaves_before_the_verdict_disturbs_nobody(store: Store) -> None:
    tasks = [asyncio.create_task(store.append(submission(COMPANY))) for _ in range(60)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    settled = await asyncio.gather(*tasks, return_exceptions=True)
    stayed = [verdict for number, verdict in enumerate(settled) if number % 3]
    assert all(isinstance(verdict, Appended) for verdict in stayed)
    await appended(store, submission(COMPANY))


async def test_a_full_queue_says_so_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "_WAITING_MAX", 5)
    verdicts = await asyncio.gather(
        *(store.append(submission(COMPANY)) for _ in range(50)), return_exceptions=True
    )
    assert any(isinstance(verdict, StoreBusy) for verdict in verdicts)
    assert all(isinstance(verdict, Appended | StoreBusy) for verdict in verdicts)
    await appended(store, submission(COMPANY))


async def test_closing_finishes_what_is_being_appended(database_url: str, ring: KeyRing, log: Log) -> None:
    store = await Store.open(database_url, ring, uuid4)
    tasks = [asyncio.create_task(store.append(submission(COMPANY))) for _ in range(20)]
    await asyncio.sleep(0.01)
    await store.close()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(verdict, Appended) for verdict in done)


async def test_twelve_writers_and_a_reader_that_never_skips(
    store: Store, database_url: str, log: Log
) -> None:
    """Each writer is a connection of its own, as a process would be, and dawdles before it commits."""
    companies = companies_of_partition(store, 5, 4)
    choice = random.Random(7)
    each = 40

    async def write() -> list[int]:
        positions: list[int] = []
        connection = await connections.connect(database_url, connections.APP)
        for _ in range(each):
            one = submission(choice.choice(companies))
            batch = Batch(5, [prepared(one, (topics.encode(one.commands[0].events[0].event),))])
            async with connection.transaction():
                (row,) = await (await connection.execute(APPEND, batch.parameters())).fetchall()
                # The moment in which a log ordered by a sequence would lose this event to its readers.
                await asyncio.sleep(choice.random() * 0.01)
            positions.append(batch.appended(row)[0].records[0].first_position or 0)
            await asyncio.sleep(choice.random() * 0.01)
        await connection.close()
        return positions

    async def tail() -> list[int]:
        seen: list[int] = []
        while len(seen) < 12 * each:
            await log.wait(5, len(seen), 0.05)
            seen += [recorded.position for recorded in await log.page(5, len(seen), choice.randint(1, 50))]
        return seen

    seen, *written = await asyncio.gather(tail(), *(write() for _ in range(12)))
    assert seen == list(range(1, 12 * each + 1))
    assert sorted(position for positions in written for position in positions) == seen


async def test_who_waits_is_woken_by_an_append(store: Store, log: Log) -> None:
    partition = store.partition_of(COMPANY)
    await log.wait(partition, 0, 0.3)  # listening from here on
    waiting = asyncio.create_task(log.wait(partition, 0, 10))
    await asyncio.sleep(0)
    started = asyncio.get_running_loop().time()
    await appended(store, submission(COMPANY))
    await waiting
    assert asyncio.get_running_loop().time() - started < 5


async def test_who_is_in_no_hurry_is_woken_for_many_at_once(
    store: Store, database_url: str, ring: KeyRing
) -> None:
    partition = store.partition_of(COMPANY)
    log = await Log.open(database_url, ring, gather_seconds=600)
    await appended(store, submission(COMPANY))
    await log.wait(partition, 0, 10)
    await appended(store, submission(COMPANY))
    started = asyncio.get_running_loop().time()
    await log.wait(partition, 1, 0.2)
    assert asyncio.get_running_loop().time() - started >= 0.2
    assert len(await log.page(partition, 1, 10)) == 1
    await log.close()


async def test_who_waits_in_vain_returns_when_the_time_is_up(log: Log) -> None:
    started = asyncio.get_running_loop().time()
    await log.wait(0, 0, 0.1)
    assert 0.1 <= asyncio.get_running_loop().time() - started < 5
