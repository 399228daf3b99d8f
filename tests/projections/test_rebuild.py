"""A rebuild happens beside the readers and the writers, and gives the same rows."""

import asyncio
import gc
from typing import Any

import pytest
from sqlalchemy import select, text

from projections import building, tidying
from projections.building import Build, Progress
from projections.operate import resume, skip
from projections.premises import RebuildBusy
from projections.pressure import Pressure
from projections.projector import SqlProjection, on
from projections.rebuild import NothingBuilt, NothingKept, open_workshop
from read_model.database import open_engine, reading
from read_model.freshness import reading_at
from tests.projections.bench import Bench
from tests.projections.sample import (
    BALANCES,
    POISON,
    Balances,
    Deposited,
    Deposits,
    FakeLog,
    Picky,
    account,
    company,
    expected_balances,
    fill,
)

pytestmark = pytest.mark.asyncio

ALL = [Balances, Deposits]


def workshop_of(bench: Bench, log: FakeLog, projections: Any = None) -> Any:
    return open_workshop(bench.database_url, bench.redis_url, log, projections=projections or ALL)


async def content(bench: Bench) -> list[bytes]:
    """Every table, every row, byte for byte."""
    tables = ("sample_balances", "sample_deposits", "sample_running")
    return [
        repr(await bench.rows(f"SELECT * FROM read.{table} ORDER BY 1, 2")).encode()  # noqa: S608
        for table in tables
    ]


async def test_a_rebuild_of_the_same_events_gives_the_same_bytes(bench: Bench, log: FakeLog) -> None:
    await fill(log, 5000)
    async with bench.worker(log, ALL):
        await bench.caught_up(log, "sample_balances", "sample_deposits")
    before = await content(bench)
    reports: list[Progress] = []
    async with workshop_of(bench, log) as workshop:
        for name in ("sample_balances", "sample_deposits"):
            outcome = await workshop.rebuild(name, on_progress=reports.append)
            assert (outcome.generation, outcome.promoted) == (2, True)
            assert outcome.comparison.equal
    assert await content(bench) == before
    assert reports[-1].done == reports[-1].total == 5000
    assert reports[-1].positions == await log.heads()
    kept = await bench.rows("SELECT projection, generation, status FROM read.generations ORDER BY 1, 2")
    assert kept == [
        ("sample_balances", 1, "kept"),
        ("sample_balances", 2, "live"),
        ("sample_deposits", 1, "kept"),
        ("sample_deposits", 2, "live"),
    ]
    indexes = await bench.rows(
        "SELECT indexname FROM pg_indexes WHERE tablename LIKE 'sample_balances_g%%' ORDER BY 1"
    )
    assert ("sample_balances_by_balance_g2",) in indexes


async def test_what_is_promoted_is_where_its_neighbours_are(bench: Bench, log: FakeLog) -> None:
    """Or a question that reads several would show figures from beyond the position it says."""
    await fill(log, 300)
    async with bench.worker(log, ALL):
        await bench.caught_up(log, "sample_balances", "sample_deposits")
    served = await log.heads()
    await fill(log, 50, seed=2)
    async with workshop_of(bench, log) as workshop:
        await workshop.rebuild("sample_deposits")
        await workshop.rebuild("sample_balances")
        await workshop.rollback("sample_balances")
    positions = await bench.rows(
        "SELECT c.partition, c.position FROM read.projections p JOIN read.checkpoints c "
        "ON c.projection = p.name AND c.generation = p.generation"
    )
    assert sorted(positions) == sorted([*served.items(), *served.items()])


async def test_a_rebuild_with_writers_and_readers_fails_no_question(bench: Bench, log: FakeLog) -> None:
    await fill(log, 3000)
    stop = asyncio.Event()
    asked = 0

    async def write() -> None:
        seed = 1000
        while not stop.is_set():
            seed += 1
            await fill(log, 20, seed=seed)
            await asyncio.sleep(0.005)

    async def read() -> None:
        """Rows and position belong together: the deposits counted are those up to the position."""
        nonlocal asked
        engine = open_engine(bench.database_url, pool_size=2)
        last = 0
        while not stop.is_set():
            async with reading_at(engine, company(1), ("sample_deposits",), 1) as (connection, standings):
                counted = (
                    await connection.execute(text("SELECT count(*) FROM read.sample_deposits"))
                ).scalar_one()
            position = standings["sample_deposits"].position
            events = log.all(1)[:position]
            wanted = sum(isinstance(r.event, Deposited) and r.company_id == company(1) for r in events)
            assert counted == wanted
            assert position >= last
            last = position
            asked += 1
        await engine.dispose()

    async with bench.worker(log, ALL), workshop_of(bench, log) as workshop:
        await bench.caught_up(log, "sample_balances", "sample_deposits")
        tasks = [asyncio.create_task(write()), asyncio.create_task(read()), asyncio.create_task(read())]
        try:
            for _ in range(3):
                for name in ("sample_balances", "sample_deposits"):
                    outcome = await workshop.rebuild(name)
                    assert outcome.comparison.equal
        finally:
            stop.set()
            await asyncio.gather(*tasks)
        await bench.caught_up(log, "sample_balances", "sample_deposits")
    rows = await bench.rows("SELECT company_id, account, balance, deposits, name FROM read.sample_balances")
    assert {(row[0], row[1]): row[2:] for row in rows} == expected_balances(log)
    assert asked > 20
    generations = await bench.rows(
        "SELECT generation FROM read.generations WHERE projection = 'sample_balances'"
    )
    assert sorted(generations) == [(3,), (4,)]


async def built(bench: Bench) -> int:
    """How far the generation that is being built is."""
    rows = await bench.rows(
        "SELECT coalesce(sum(position), 0) FROM read.checkpoints "
        "WHERE projection = 'sample_deposits' AND generation > 1"
    )
    return int(rows[0][0])


async def further(bench: Bench, before: int) -> bool:
    return await built(bench) > before


# psycopg drops the socket of a connection that is cancelled while it is being made.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_interrupted_rebuild_goes_on_where_it_stopped(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "BUILD_EVENTS", 100)
    await fill(log, 4000)
    async with bench.worker(log, ALL):
        await bench.caught_up(log, "sample_balances", "sample_deposits")
    before = await content(bench)
    starts: list[int] = []
    locate = Build.locate

    async def watched(self: Build) -> None:
        await locate(self)
        starts.append(sum(self.positions.values()))

    monkeypatch.setattr(Build, "locate", watched)

    async def slowly() -> None:
        await asyncio.sleep(0.05)

    log.trouble = slowly
    async with workshop_of(bench, log) as workshop:
        for _ in range(3):
            reached = await built(bench)
            task = asyncio.create_task(workshop.rebuild("sample_deposits"))
            await bench.until(lambda reached=reached: further(bench, reached), what="progress")  # type: ignore[misc]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        log.trouble = None
        outcome = await workshop.rebuild("sample_deposits")
    gc.collect()
    assert outcome.promoted
    assert starts == sorted(starts)
    assert starts[1] > 0
    assert await content(bench) == before


async def test_a_rebuild_can_wait_to_be_promoted_or_be_begun_anew(bench: Bench, log: FakeLog) -> None:
    await fill(log, 1000)
    async with bench.worker(log, ALL), workshop_of(bench, log) as workshop:
        await bench.caught_up(log, "sample_balances")
        with pytest.raises(NothingBuilt):
            await workshop.promote("sample_balances")
        built = await workshop.rebuild("sample_balances", promote="never", batch=50)
        assert (built.generation, built.promoted) == (2, False)
        anew = await workshop.rebuild("sample_balances", promote="never", anew=True)
        assert not anew.promoted
        await fill(log, 500, seed=2)
        assert (await workshop.promote("sample_balances")).promoted
        rows = await bench.rows(
            "SELECT company_id, account, balance, deposits, name FROM read.sample_balances"
        )
        assert {(row[0], row[1]): row[2:] for row in rows} == expected_balances(log)


async def test_who_makes_commits_slow_is_held_back_but_not_for_ever(bench: Bench) -> None:
    pressure = Pressure(bench.database_url, "sample_balances", 0.1)
    for _ in range(19):
        pressure.note(0.01)
    assert not pressure.is_high()
    for _ in range(2):
        pressure.note(0.5)
    assert pressure.is_high()
    begun = asyncio.get_running_loop().time()
    await pressure.ease()
    assert asyncio.get_running_loop().time() - begun < 20
    assert not Pressure(bench.database_url, "sample_balances", None).is_high()
    async with pressure:
        # A durable commit is really tried, so what was slow is forgotten.
        await bench.until(lambda: _is(pressure.live_lag_seconds == 0.0), what="a look")


async def _is(value: bool) -> bool:
    return value


async def test_what_nobody_goes_back_to_any_more_is_dropped(bench: Bench, log: FakeLog) -> None:
    await fill(log, 100)
    async with bench.worker(log, ALL), workshop_of(bench, log) as workshop:
        await bench.caught_up(log, "sample_balances")
        await workshop.rebuild("sample_balances")
        await tidying.forget_kept(workshop.premises)
        assert len(await bench.rows("SELECT 1 FROM read.generations WHERE status = 'kept'")) == 1
        await bench.execute("UPDATE read.generations SET promoted_at = now() - interval '8 days'")
        await tidying.forget_kept(workshop.premises)
    assert await bench.rows("SELECT 1 FROM read.generations WHERE status = 'kept'") == []
    assert await bench.rows("SELECT to_regclass('read.sample_balances_g1')") == [(None,)]


async def test_one_rebuild_at_a_time(bench: Bench, log: FakeLog) -> None:
    await fill(log, 100)
    reading_log, may_go_on = asyncio.Event(), asyncio.Event()

    async def held() -> None:
        reading_log.set()
        await may_go_on.wait()

    async with workshop_of(bench, log) as workshop, workshop_of(bench, log) as other:
        async with bench.worker(log, ALL):
            await bench.caught_up(log, "sample_balances")
        log.trouble = held
        task = asyncio.create_task(workshop.rebuild("sample_balances"))
        await reading_log.wait()
        with pytest.raises(RebuildBusy):
            await other.rebuild("sample_balances")
        may_go_on.set()
        assert (await task).promoted


async def test_drift_is_shown_row_by_row_and_mended(bench: Bench, log: FakeLog) -> None:
    await fill(log, 1000)
    async with bench.worker(log, ALL):
        await bench.caught_up(log, "sample_balances", "sample_deposits")
    await bench.execute(
        "SET ROLE ccontrol_projector;"
        "UPDATE read.sample_balances_g1 SET balance = balance + 1 WHERE (company_id, account) IN "
        "(SELECT company_id, account FROM read.sample_balances_g1 ORDER BY 1, 2 LIMIT 1);"
        "DELETE FROM read.sample_balances_g1 WHERE (company_id, account) IN "
        "(SELECT company_id, account FROM read.sample_balances_g1 ORDER BY 1 DESC, 2 DESC LIMIT 1)"
    )
    async with workshop_of(bench, log) as workshop:
        comparison = await workshop.compare("sample_balances")
        (table,) = comparison.tables
        assert not comparison.equal
        assert table.rows_live == table.rows_fresh - 1
        assert "balance" in table.columns_differing
        changed = [row for row in table.sample if row.live and row.fresh]
        lost = [row for row in table.sample if row.live is None]
        assert len(table.sample) == 2
        assert changed[0].live["balance"] == changed[0].fresh["balance"] + 1
        assert lost[0].fresh is not None
        # A comparison leaves nothing behind.
        assert await bench.rows("SELECT count(*) FROM read.generations") == [(2,)]
        assert await bench.rows("SELECT to_regclass('read.sample_balances_g2')") == [(None,)]

        outcome = await workshop.rebuild("sample_balances", promote="equal")
        assert not outcome.promoted
        outcome = await workshop.rebuild("sample_balances")
        assert outcome.promoted
        assert (await workshop.compare("sample_balances")).equal


async def test_rollback_serves_the_kept_generation_brought_forward(bench: Bench, log: FakeLog) -> None:
    await fill(log, 1000)
    async with bench.worker(log, ALL), workshop_of(bench, log) as workshop:
        await bench.caught_up(log, "sample_balances")
        with pytest.raises(NothingKept):
            await workshop.rollback("sample_balances")
        await workshop.rebuild("sample_balances")
        await fill(log, 500, seed=2)
        await bench.caught_up(log, "sample_balances")
        assert await workshop.rollback("sample_balances") == 1
        # At once, and without a figure that jumps back.
        rows = await bench.rows(
            "SELECT company_id, account, balance, deposits, name FROM read.sample_balances"
        )
        assert {(row[0], row[1]): row[2:] for row in rows} == expected_balances(log)
        await fill(log, 100, seed=3)
        await bench.caught_up(log, "sample_balances")
    rows = await bench.rows("SELECT company_id, account, balance, deposits, name FROM read.sample_balances")
    assert {(row[0], row[1]): row[2:] for row in rows} == expected_balances(log)


class NewBalances(SqlProjection):
    """The next version: counts differently, and no longer knows names."""

    name = "sample_balances"
    version = 2
    tables = (BALANCES,)

    @on(Deposited)
    def deposited(self, batch: Any, recorded: Any, fact: Deposited) -> None:
        batch.add(BALANCES, key={"account": fact.account}, add={"balance": fact.amount * 100, "deposits": 1})


async def test_new_code_builds_its_generation_by_itself_while_the_old_one_serves(
    bench: Bench, log: FakeLog
) -> None:
    await fill(log, 2000)
    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
    old = await bench.rows("SELECT sum(deposits) FROM read.sample_balances")
    await log.append(1, Deposited(account=account(1), amount=1))

    async def promoted() -> bool:
        return await bench.rows("SELECT generation FROM read.projections") == [(2,)]

    async with bench.worker(log, [NewBalances], owner="a"), bench.worker(log, [NewBalances], owner="b"):
        assert await bench.rows("SELECT sum(deposits) FROM read.sample_balances") == old
        await bench.until(promoted, what="the promotion")
        await log.append(1, Deposited(account=account(1), amount=1))
        await bench.caught_up(log, "sample_balances")
    total = sum(r.event.amount * 100 for p in range(4) for r in log.all(p) if isinstance(r.event, Deposited))
    assert await bench.rows("SELECT sum(balance), count(name) FROM read.sample_balances") == [(total, 0)]

    # Going back to what other code has made also stops the new code from rebuilding it at once.
    async with workshop_of(bench, log, [NewBalances]) as workshop:
        await workshop.rollback("sample_balances")
    assert await bench.rows("SELECT generation, paused, reason FROM read.projections") == [
        (1, True, "rolled back to version 1")
    ]
    assert await bench.rows("SELECT sum(deposits) FROM read.sample_balances") == old


class NewPicky(Picky):
    """The next version, which still cannot take it."""

    version = 2


async def test_new_code_that_cannot_be_built_stops_visibly_and_goes_on_when_mended(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Picky, "mended", True)
    await log.append(1, *[Deposited(account=account(n), amount=5) for n in range(9)])
    await log.append(1, Deposited(account=account(1), amount=POISON))
    async with bench.worker(log, [Picky]):
        await bench.caught_up(log, "sample_picky")

    async def stopped() -> bool:
        found = await bench.rows("SELECT position, version FROM read.failures WHERE resolved_at IS NULL")
        return found == [(10, 2)]

    async def promoted() -> bool:
        return await bench.rows("SELECT generation FROM read.projections") == [(2,)]

    monkeypatch.setattr(NewPicky, "mended", False)
    async with bench.worker(log, [NewPicky]):
        await bench.until(stopped, what="the failure")
        assert await bench.rows("SELECT sum(n) FROM read.sample_picky") == [(10,)]
        monkeypatch.setattr(NewPicky, "mended", True)
        await resume(bench.database_url, "sample_picky", actor="ana")
        await bench.until(promoted, what="the promotion")
    assert await bench.rows("SELECT sum(n) FROM read.sample_picky") == [(10,)]


async def test_what_was_built_with_an_event_is_not_served_once_that_is_left_out(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped() -> bool:
        return await bench.rows("SELECT position FROM read.failures WHERE resolved_at IS NULL") == [(10,)]

    await log.append(1, *[Deposited(account=account(n), amount=5) for n in range(9)])
    await log.append(1, Deposited(account=account(1), amount=POISON))
    async with bench.worker(log, [Picky]):
        await bench.until(stopped, what="the stop")
    async with workshop_of(bench, log, [Picky]) as workshop:
        with monkeypatch.context() as mended:
            mended.setattr(Picky, "mended", True)
            await workshop.rebuild("sample_picky", promote="never")
        await skip(bench.database_url, "sample_picky", 1, 10, reason="a test", actor="me")
        with pytest.raises(NothingBuilt):
            await workshop.promote("sample_picky")
        assert (await workshop.rebuild("sample_picky")).promoted
    assert await bench.rows("SELECT sum(n) FROM read.sample_picky") == [(9,)]


async def waits_for_a_lock(bench: Bench) -> bool:
    found = await bench.rows(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'read.projections'::regclass"
    )
    return found != [(0,)]


async def test_a_question_in_flight_keeps_its_snapshot(bench: Bench, log: FakeLog) -> None:
    """The switch waits for a reader, and the reader sees one generation from beginning to end."""
    await fill(log, 500)
    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
    engine = open_engine(bench.database_url, pool_size=2)
    async with workshop_of(bench, log) as workshop:
        async with reading(engine, company(1)) as connection:
            before = (await connection.execute(select(BALANCES).order_by(BALANCES.c.account))).all()
            task = asyncio.create_task(workshop.rebuild("sample_balances"))
            await bench.until(lambda: waits_for_a_lock(bench), what="the switch")
            assert not task.done()
            again = (await connection.execute(select(BALANCES).order_by(BALANCES.c.account))).all()
            assert again == before
        await task
    await engine.dispose()
