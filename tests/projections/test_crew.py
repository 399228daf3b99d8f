"""A rebuild in several processes: the same rows, the same failure, and nothing left behind."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Text

from projections import pursuit
from projections.batch import Batch
from projections.building import BuildFailed, Progress
from projections.connections import is_transient
from projections.crew import Crew, HelperDied, HelperSaid, Share, shared_out
from projections.projector import SqlProjection, on
from projections.rebuild import Workshop, open_workshop
from read_model.database import read_table
from tests.projections.bench import Bench
from tests.projections.prices import Prices, Shop, open_log
from write_model.catalog.events import PriceRevised
from write_model.message import Recorded
from write_model.store.log import Log
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

POSITIONS = st.dictionaries(
    st.integers(0, 15), st.tuples(st.integers(0, 999), st.integers(0, 999)), min_size=1
)


@given(POSITIONS, st.integers(1, 20))
def test_work_is_shared_out_whole_and_once(given_: dict[int, tuple[int, int]], jobs: int) -> None:
    positions = {partition: position for partition, (position, _) in given_.items()}
    targets = {partition: target for partition, (_, target) in given_.items()}
    shares = shared_out(positions, targets, jobs)
    assert len(shares) <= jobs
    assert all(shares)
    handed = [item for share in shares for item in share.items()]
    assert sorted(handed) == sorted((p, t) for p, t in targets.items() if t > positions[p])


class Strict(SqlProjection):
    """Cannot take an event."""

    name = "test_strict"
    version = 1
    tables = (read_table("test_strict", Column("stream", Text, primary_key=True)),)

    @on(PriceRevised)
    def revised(self, batch: Batch, recorded: Recorded, fact: PriceRevised) -> None:
        raise ValueError("not this one")


class Deadly(SqlProjection):
    """Takes its whole process down."""

    name = "test_deadly"
    version = 1
    tables = (read_table("test_deadly", Column("stream", Text, primary_key=True)),)

    @on(PriceRevised)
    def dies(self, batch: Batch, recorded: Recorded, fact: PriceRevised) -> None:
        os._exit(3)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root.key"


@asynccontextmanager
async def workshop_of(
    bench: Bench, root: Path, kind: type[SqlProjection]
) -> AsyncIterator[tuple[Workshop, Log]]:
    async with (
        open_log(bench.database_url, root) as log,
        open_workshop(
            bench.database_url,
            bench.redis_url,
            log,
            projections=[kind],
            open_log=partial(open_log, bench.database_url, root),
        ) as workshop,
    ):
        yield workshop, log


async def fill(bench: Bench, root: Path, counts: Sequence[int]) -> None:
    """A company for each count, none in the partition of another."""
    store = await Store.open(bench.database_url, KeyRing.create(root), uuid4)
    taken: set[int] = set()
    for count in counts:
        company = uuid4()
        while store.partition_of(company) in taken:
            company = uuid4()
        taken.add(store.partition_of(company))
        await Shop(store, company).revise(count)
    await store.close()


@pytest.mark.asyncio
async def test_helpers_fold_what_one_process_folds(
    bench: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pursuit, "_HELPED_FROM_EVENTS", 1)
    await fill(bench, root, [100, 200, 300])
    seen: list[Progress] = []
    async with workshop_of(bench, root, Prices) as (workshop, log):
        await workshop.rebuild("test_prices", jobs=2, compare=False, on_progress=seen.append)
        heads = await log.heads()
        monkeypatch.setattr(workshop, "_crew", None)
        comparison = await workshop.compare("test_prices")
    assert comparison is not None
    assert comparison.equal
    assert comparison.positions == heads
    assert max(progress.done for progress in seen) == sum(heads.values()) == 600
    assert {progress.total for progress in seen} == {600}, "what there is to do is known from the beginning"
    assert await bench.rows("SELECT count(*) FROM pg_stat_activity WHERE application_name ~ 'helper'") == [
        (0,)
    ]


@pytest.mark.asyncio
async def test_what_a_helper_cannot_fold_or_survive_is_said(
    bench: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pursuit, "_HELPED_FROM_EVENTS", 1)
    await fill(bench, root, [3, 3])
    async with workshop_of(bench, root, Strict) as (workshop, _):
        with pytest.raises(BuildFailed) as failed:
            await workshop.rebuild("test_strict", jobs=2, compare=False)
    # The first event of the shop is of another topic.
    assert failed.value.position == 2
    assert isinstance(failed.value.__cause__, HelperSaid)
    async with workshop_of(bench, root, Deadly) as (workshop, _):
        with pytest.raises(HelperDied, match="3") as died:
            await workshop.rebuild("test_deadly", jobs=2, compare=False)
    assert not is_transient(died.value)
    # Nobody is left who holds the lock.
    async with workshop_of(bench, root, Prices) as (workshop, _):
        assert (await workshop.rebuild("test_prices", jobs=2)).promoted


@pytest.mark.asyncio
async def test_a_helper_ends_with_who_called_it(bench: Bench, root: Path) -> None:
    await fill(bench, root, [10])
    open_slowly = partial(_never_open, bench.database_url)
    crew = Crew(open_slowly, bench.database_url, bench.redis_url)
    task = asyncio.create_task(crew.fold([Share(Prices, 1, {}, {0: 1})], lambda positions, waiting_for: None))
    await bench.until(lambda: _asleep(bench, 1), what="the helper", seconds=60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await bench.until(lambda: _asleep(bench, 0), what="the end of the helper")


async def _busy(bench: Bench, condition: str) -> int:
    """As the superuser, who sees what others do."""
    async with await psycopg.AsyncConnection.connect(bench.database_url) as connection:
        found = await connection.execute(
            f"SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {condition}".encode()  # noqa: S608
        )
        row = await found.fetchone()
    assert row is not None
    return int(row[0])


async def _asleep(bench: Bench, count: int) -> bool:
    return await _busy(bench, "application_name = 'sleeper'") == count


@asynccontextmanager
async def _never_open(database_url: str) -> AsyncIterator[Log]:
    async with await psycopg.AsyncConnection.connect(database_url, application_name="sleeper"):
        await asyncio.sleep(60)
    yield Log.__new__(Log)
