"""Workers fold every event exactly once, whatever is done to them."""

import asyncio
import gc
import random
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from projections.feed import Feed
from projections.lane import Fence, LeaseLost
from projections.operate import NotStopped, SkipRefused, pause, resume, skip
from projections.rebuild import open_workshop
from projections.roster import Catalogue
from projections.status import ProjectionStatus, status
from read_model.database import open_engine
from tests.projections.bench import Bench
from tests.projections.sample import (
    BALANCES,
    PARTITIONS,
    POISON,
    Balances,
    BalanceViews,
    Deposited,
    Deposits,
    FakeLog,
    Noted,
    Picky,
    account,
    expected_balances,
    fill,
)

pytestmark = pytest.mark.asyncio


async def balances(bench: Bench) -> dict[tuple[object, object], tuple[object, ...]]:
    rows = await bench.rows("SELECT company_id, account, balance, deposits, name FROM read.sample_balances")
    return {(row[0], row[1]): row[2:] for row in rows}


async def test_a_worker_folds_what_is_there_and_what_comes(bench: Bench, log: FakeLog) -> None:
    await fill(log, 3000)
    async with bench.worker(log, [Balances, Deposits]):
        await bench.caught_up(log, "sample_balances", "sample_deposits")
        assert await balances(bench) == expected_balances(log)
        await fill(log, 50, seed=2)
        await bench.caught_up(log, "sample_balances", "sample_deposits")
    assert await balances(bench) == expected_balances(log)
    # The running totals were made out of rows read before: each line continues the one before it.
    wrong = await bench.rows(
        "SELECT count(*) FROM (SELECT running, sum(amount) OVER (PARTITION BY company_id, account) AS total, "
        "max(running) OVER (PARTITION BY company_id, account) FROM read.sample_deposits) AS lines "
        "WHERE NOT EXISTS (SELECT FROM read.sample_running r WHERE r.running = total)"
    )
    assert wrong == [(0,)]


# psycopg drops the socket of a connection that is cancelled while it is being made.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_every_event_counts_once_under_cancellation_and_killed_connections(
    bench: Bench, log: FakeLog
) -> None:
    await fill(log, 6000)
    dice = random.Random(7)
    for round_ in range(25):
        async with bench.worker(log, [Balances, Deposits], owner=f"w{round_}", lease_seconds=0.4):
            await asyncio.sleep(dice.uniform(0.0, 0.4))
            if round_ % 3 == 0:
                await bench.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name = 'ccontrol-worker'"
                )
                await asyncio.sleep(dice.uniform(0.0, 0.3))
        await fill(log, 100, seed=100 + round_)
    gc.collect()
    async with bench.worker(log, [Balances, Deposits]):
        await bench.caught_up(log, "sample_balances", "sample_deposits")
    assert await balances(bench) == expected_balances(log)


async def test_a_zombie_cannot_write(bench: Bench, log: FakeLog) -> None:
    """It still believes in its lease when another worker has taken it; its next transaction is refused."""
    await fill(log, 200)
    frozen, thawed = asyncio.Event(), asyncio.Event()

    async def freeze() -> None:
        if asyncio.current_task() in zombie_tasks:
            frozen.set()
            await thawed.wait()

    zombie_tasks: set[asyncio.Task[object] | None] = set()
    outcomes: list[str] = []
    before = Feed.run

    async def watched(self: Feed) -> None:
        if self._fence.owner == "zombie":
            zombie_tasks.add(asyncio.current_task())
        await before(self)
        outcomes.append(self._fence.owner)

    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(Feed, "run", watched)
    try:
        log.trouble = freeze
        async with bench.worker(log, [Balances], owner="zombie", lease_seconds=600):
            await asyncio.wait_for(frozen.wait(), 10)
            # The clock runs out for the zombie without it noticing.
            await bench.execute("UPDATE read.leases SET expires_at = '-infinity'")
            await bench.execute("DELETE FROM read.workers")
            async with bench.worker(log, [Balances], owner="heir", lease_seconds=600):
                await bench.caught_up(log, "sample_balances")
                await fill(log, 200, seed=5)
                thawed.set()
                await bench.caught_up(log, "sample_balances")
                await bench.until(lambda: _is(outcomes.count("zombie") >= 1), what="the zombie's end")
    finally:
        monkeypatch.undo()
    assert await balances(bench) == expected_balances(log)


async def _is(value: bool) -> bool:
    return value


async def test_the_fence_is_checked_inside_the_transaction(bench: Bench, log: FakeLog) -> None:
    from projections.connections import open_pool
    from projections.fold import Folder
    from projections.lane import Follower
    from projections.sql_lane import SqlLane

    await fill(log, 100)
    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
    await fill(log, 100, seed=3)
    before = await balances(bench)
    async with open_pool(bench.database_url, size=1) as pool:
        lane = SqlLane(pool)
        follower = Follower(Folder(Balances()), 1, 0, Fence("sql", 0, "a", 1))
        await lane.locate([follower], 1000)
        with pytest.raises(LeaseLost):
            await lane.apply(follower, log.all(0)[follower.position :], at_head=True)
    assert await balances(bench) == before


async def test_workers_share_partitions_and_hand_them_over(bench: Bench, log: FakeLog) -> None:
    async def shares() -> dict[str, int]:
        rows = await bench.rows(
            "SELECT owner, count(*) FROM read.leases WHERE lane = 'sql' AND owner IS NOT NULL GROUP BY 1"
        )
        return dict(rows)

    async def shared(wanted: dict[str, int]) -> None:
        async def true() -> bool:
            return await shares() == wanted

        await bench.until(true, what=f"{wanted}")

    await fill(log, 500)
    async with bench.worker(log, [Balances], owner="a"):
        await shared({"a": 4})
        async with bench.worker(log, [Balances], owner="b"):
            await shared({"a": 2, "b": 2})
            await fill(log, 500, seed=2)
            async with bench.worker(log, [Balances], owner="c"):
                await shared({"a": 2, "b": 1, "c": 1})
                await fill(log, 500, seed=3)
                await bench.caught_up(log, "sample_balances")
        await shared({"a": 4})
        await fill(log, 500, seed=4)
        await bench.caught_up(log, "sample_balances")
    assert await shares() == {}
    assert await balances(bench) == expected_balances(log)


async def test_a_dead_workers_leases_expire(bench: Bench, log: FakeLog) -> None:
    await fill(log, 100)
    async with bench.worker(log, [Balances], owner="a"):
        await bench.caught_up(log, "sample_balances")
    await bench.execute(
        "INSERT INTO read.workers (owner, lane) VALUES ('dead', 'sql');"
        "UPDATE read.leases SET owner = 'dead', epoch = epoch + 1, expires_at = now() + interval '700 ms'"
    )
    await fill(log, 100, seed=2)
    async with bench.worker(log, [Balances], owner="b"):
        await bench.caught_up(log, "sample_balances")
    assert await balances(bench) == expected_balances(log)


async def test_events_that_mean_nothing_move_the_checkpoint(bench: Bench, log: FakeLog) -> None:
    async with bench.worker(log, [Balances]):
        await log.append(1, *[Noted() for _ in range(10)])
        await bench.caught_up(log, "sample_balances")


async def test_a_poison_event_stops_one_projection_on_one_partition(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Picky, "attempts", 0)
    await log.append(1, *[Deposited(account=account(n), amount=5) for n in range(30)])
    await log.append(1, Deposited(account=account(1), amount=POISON))
    await log.append(1, *[Deposited(account=account(n), amount=5) for n in range(30)])
    await log.append(2, *[Deposited(account=account(n), amount=5) for n in range(7)])
    engine = open_engine(bench.database_url, pool_size=2)

    async def picky_failed() -> bool:
        found = {each.name: each for each in await status(engine, log, projections=[Balances, Picky])}
        return "sample_picky" in found and found["sample_picky"].state == "failed"

    async with bench.worker(log, [Balances, Picky]):
        await bench.caught_up(log, "sample_balances")
        await bench.until(picky_failed, what="the failure")
        (picky,) = [
            each
            for each in await status(engine, log, projections=[Balances, Picky])
            if each.name == "sample_picky"
        ]
        assert [(each.partition, each.position) for each in picky.partitions] == [
            (0, 0),
            (1, 30),
            (2, 7),
            (3, 0),
        ]
        (failure,) = picky.failures
        assert (failure.partition, failure.position, failure.topic) == (1, 31, "sample.deposited")
        assert failure.error == "RuntimeError: cannot take this "
        assert failure.event_id == log.all(1)[30].event_id
        assert (failure.tries, picky.lag_events) == (5, 31)
        assert picky.lag_seconds > 0
        assert await bench.rows("SELECT sum(n) FROM read.sample_picky") == [(37,)]
        # Everything before it was folded, the event was tried five times, and then left alone.
        attempts = Picky.attempts
        await fill(log, 50, seed=8)
        await bench.caught_up(log, "sample_balances")
        assert Picky.attempts == attempts

        await resume(bench.database_url, "sample_picky", actor="ana")
        await bench.until(lambda: _is(Picky.attempts > attempts), what="another try")
        await bench.until(picky_failed, what="the same failure again")

        monkeypatch.setattr(Picky, "mended", True)
        await resume(bench.database_url, "sample_picky", actor="ana")
        await bench.caught_up(log, "sample_picky")
    await engine.dispose()
    total = sum(isinstance(r.event, Deposited) for p in range(PARTITIONS) for r in log.all(p))
    assert await bench.rows("SELECT sum(n) FROM read.sample_picky") == [(total,)]


async def test_an_event_the_database_refuses_is_found_and_stopped_at(bench: Bench, log: FakeLog) -> None:
    """The handler is content; the row is not. The event to blame is found by halving the page."""
    await log.append(1, *[Deposited(account=account(n), amount=1) for n in range(40)])
    await log.append(1, Deposited(account=account(3), amount=2**70))
    await log.append(1, *[Deposited(account=account(n), amount=1) for n in range(40)])

    async def stopped() -> bool:
        return await bench.rows("SELECT partition, position, tries FROM read.failures") == [(1, 41, 5)]

    async with bench.worker(log, [Balances]):
        await bench.until(stopped, what="the failure")
        assert await bench.rows("SELECT sum(balance) FROM read.sample_balances") == [(40,)]
        with pytest.raises(SkipRefused):
            await skip(bench.database_url, "sample_balances", 1, 41, reason="typing error", actor="ana")
        with pytest.raises(NotStopped):
            await skip(bench.database_url, "sample_balances", 1, 5, reason="x", actor="ana", break_glass=True)
        await skip(
            bench.database_url, "sample_balances", 1, 41, reason="typing error", actor="ana", break_glass=True
        )
        await bench.caught_up(log, "sample_balances")
    assert await bench.rows("SELECT sum(balance) FROM read.sample_balances") == [(80,)]
    assert await bench.rows("SELECT position, reason, actor, break_glass FROM read.skips") == [
        (41, "typing error", "ana", True)
    ]


async def test_a_broken_log_is_not_passed(bench: Bench, log: FakeLog) -> None:
    await log.append(1, *[Deposited(account=account(1), amount=1) for _ in range(20)])
    good = log.all(1)[10]
    log.corrupt(1, 11, good._replace(version=13))

    async def stopped() -> bool:
        return await bench.rows(
            "SELECT partition, position FROM read.failures WHERE resolved_at IS NULL"
        ) == [(1, 11)]

    async with bench.worker(log, [Balances]):
        await bench.until(stopped, what="the stop")
        assert await bench.rows("SELECT sum(balance) FROM read.sample_balances") == [(10,)]
        log.corrupt(1, 11, good)
        await resume(bench.database_url, "sample_balances", actor="ana")
        await bench.caught_up(log, "sample_balances")
    assert await balances(bench) == expected_balances(log)


async def test_an_event_that_cannot_be_read_can_be_left_out(bench: Bench, log: FakeLog) -> None:
    """By the worker that stands in front of it, and by every rebuild that comes to it later."""
    await log.append(1, *[Deposited(account=account(1), amount=1) for _ in range(20)])
    log.corrupt(1, 11, log.all(1)[10]._replace(position=99))

    async def stopped() -> bool:
        rows = await bench.rows("SELECT projection FROM read.failures WHERE resolved_at IS NULL ORDER BY 1")
        return rows == [("sample_balances",), ("sample_deposits",)]

    async with bench.worker(log, [Balances, Deposits]):
        await bench.until(stopped, what="the stop")
        await skip(
            bench.database_url, "sample_balances", 1, 11, reason="damaged", actor="ana", break_glass=True
        )
        await bench.caught_up(log, "sample_balances")
        # The other one has not been told to leave it out.
        assert await bench.rows("SELECT sum(amount) FROM read.sample_deposits") == [(10,)]
        await skip(bench.database_url, "sample_deposits", 1, 11, reason="damaged", actor="ana")
        await bench.caught_up(log, "sample_deposits")
        async with open_workshop(
            bench.database_url, bench.redis_url, log, projections=[Balances, Deposits]
        ) as workshop:
            assert (await workshop.rebuild("sample_balances")).promoted
    assert await bench.rows("SELECT sum(balance) FROM read.sample_balances") == [(19,)]


async def test_status_tells_all_an_operator_needs(bench: Bench, log: FakeLog) -> None:
    await log.append(1, *[Deposited(account=account(n), amount=5) for n in range(3)])
    await log.append(1, Deposited(account=account(1), amount=POISON))
    engine = open_engine(bench.database_url, pool_size=2)

    async def picky() -> ProjectionStatus:
        return (await status(engine, log, projections=[Picky]))[0]

    async def failed() -> bool:
        return await bench.rows("SELECT count(*) FROM read.failures") == [(1,)]

    async with bench.worker(log, [Picky]):
        await bench.until(failed, what="the failure")
        found = await picky()
        (failure,) = found.failures
        assert failure.first_seen <= failure.last_seen
        assert (failure.version, failure.event_id) == (Picky.version, log.all(1)[3].event_id)
        assert [(each.generation, each.status, each.position) for each in found.generations] == [
            (1, "live", 3)
        ]
        await skip(bench.database_url, "sample_picky", 1, 4, reason="typing error", actor="ana")
        await bench.caught_up(log, "sample_picky")
        found = await picky()
        assert (found.state, found.failures, found.lag_seconds) == ("running", (), 0.0)
        (left_out,) = found.skips
        assert (left_out.position, left_out.reason, left_out.actor) == (4, "typing error", "ana")
    await engine.dispose()


async def test_who_makes_no_progress_is_blocked_however_good_it_looks(bench: Bench, log: FakeLog) -> None:
    """Nothing has failed, nothing is paused; only there is nobody who folds."""
    await fill(log, 100)
    engine = open_engine(bench.database_url, pool_size=2)
    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
    await bench.execute(
        "UPDATE ccontrol.partition_heads SET position = (SELECT max(position) + 9 FROM read.checkpoints);"
        "UPDATE read.checkpoints SET event_recorded_at = now() - interval '1 minute';"
        "UPDATE read.projections SET changed_at = now() - interval '1 minute'"
    )

    async def state() -> str:
        return (await status(engine, log, projections=[Balances]))[0].state

    # It has just made progress.
    assert await state() == "running"
    await bench.execute("UPDATE read.checkpoints SET updated_at = now() - interval '1 minute'")
    assert await state() == "blocked"
    # At the head there is nothing to make progress with.
    await bench.execute("UPDATE ccontrol.partition_heads SET position = 0")
    assert await state() == "running"
    await engine.dispose()


async def test_trouble_of_the_surroundings_is_waited_out(bench: Bench, log: FakeLog) -> None:
    await fill(log, 300)
    failures_left = 12

    async def trouble() -> None:
        nonlocal failures_left
        if failures_left:
            failures_left -= 1
            raise psycopg.OperationalError("the network is away")

    log.trouble = trouble
    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
    assert await balances(bench) == expected_balances(log)
    assert await bench.rows("SELECT count(*) FROM read.failures") == [(0,)]


async def test_a_worker_that_lost_the_database_begins_again(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the one that noticed was not a feed: its failure cancels all of them at once."""
    await fill(log, 100)
    look, lost = Catalogue.look, asyncio.Event()

    async def failing(self: Catalogue, connection: Any) -> Any:
        if not lost.is_set():
            lost.set()
            raise psycopg.OperationalError("terminating connection due to administrator command")
        return await look(self, connection)

    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
        monkeypatch.setattr(Catalogue, "look", failing)
        await lost.wait()
        await fill(log, 100, seed=2)
        await bench.caught_up(log, "sample_balances")
    assert await balances(bench) == expected_balances(log)


async def test_a_partition_whose_work_ends_by_itself_is_taken_up_again(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends it, as a library that lets a cancellation of its own out: the lease is still held."""
    await fill(log, 100)
    run, ended = Feed.run, set[int]()

    async def ending(self: Feed) -> None:
        if self._partition not in ended:
            ended.add(self._partition)
            raise asyncio.CancelledError
        await run(self)

    monkeypatch.setattr(Feed, "run", ending)
    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
    assert len(ended) == PARTITIONS


async def test_in_another_epoch_a_worker_begins_again(bench: Bench, log: FakeLog) -> None:
    """What it knows, and what is in Redis, is of a history that is no more."""
    await fill(log, 100)
    async with bench.worker(log, [Balances, BalanceViews]), Redis.from_url(bench.redis_url) as client:
        await bench.caught_up(log, "sample_balances")

        async def epochs() -> set[bytes]:
            return {key.split(b":")[2] async for key in client.scan_iter("cc:sample:*")}

        async def only(epoch: bytes) -> bool:
            return await epochs() == {epoch}

        await bench.until(lambda: only(b"1"), what="a view")
        log.epoch = 2
        await bench.until(lambda: only(b"2"), what="a new view, and the end of the old one")


async def test_a_paused_projection_keeps_still_and_catches_up_by_itself(bench: Bench, log: FakeLog) -> None:
    await fill(log, 100)
    async with bench.worker(log, [Balances, Deposits]):
        await bench.caught_up(log, "sample_balances", "sample_deposits")
        counted = await bench.rows("SELECT count(*) FROM read.sample_deposits")
        for _ in range(5):
            await pause(bench.database_url, "sample_deposits", "looking at something", actor="ana")
            # Nothing that comes after it: whoever asks for a pause may rely on it.
            await fill(log, 200, seed=2)
            await bench.caught_up(log, "sample_balances")
            assert await bench.rows("SELECT count(*) FROM read.sample_deposits") == counted
            await resume(bench.database_url, "sample_deposits", actor="ana")
            await bench.caught_up(log, "sample_deposits")
            counted = await bench.rows("SELECT count(*) FROM read.sample_deposits")
        await pause(bench.database_url, "sample_deposits", "looking once more", actor="ana")
        await fill(log, 6000, seed=2)
        await bench.caught_up(log, "sample_balances")
        await resume(bench.database_url, "sample_deposits", actor="ana")
        await bench.caught_up(log, "sample_deposits")
        assert counted < await bench.rows("SELECT count(*) FROM read.sample_deposits")
    assert await balances(bench) == expected_balances(log)


async def test_another_company_sees_no_row(bench: Bench, log: FakeLog) -> None:
    from sqlalchemy import select

    from read_model.database import reading
    from tests.projections.sample import company

    await fill(log, 500)
    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
    engine = open_engine(bench.database_url, pool_size=2)
    async with reading(engine, company(1)) as connection:
        rows = (await connection.execute(select(BALANCES.c.company_id))).all()
        assert rows
        assert {row[0] for row in rows} == {company(1)}
        with pytest.raises(Exception, match=r"read-only|permission"):
            await connection.execute(BALANCES.delete())
    async with reading(engine, uuid4()) as connection:
        assert (await connection.execute(select(BALANCES))).all() == []
    async with engine.connect() as connection:
        assert (await connection.execute(select(BALANCES))).all() == []
    await engine.dispose()


async def test_a_worker_says_how_far_it_is(bench: Bench, log: FakeLog) -> None:
    await fill(log, 100)
    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")

        async def told() -> bool:
            at = REGISTRY.get_sample_value("ccontrol_projection_position", {"projection": "sample_balances"})
            lag = REGISTRY.get_sample_value(
                "ccontrol_projection_lag_events", {"projection": "sample_balances"}
            )
            return (at, lag) == (100, 0)

        await bench.until(told, what="the gauge")
