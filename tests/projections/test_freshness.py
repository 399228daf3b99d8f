"""A reader that brings a token never misses its own write; one that brings none may."""

import asyncio
import time

import pytest
from sqlalchemy import text

from projections.operate import pause, resume
from projections.rebuild import open_workshop
from read_model.database import open_engine
from read_model.freshness import Freshnesses, UnknownProjections, reading_at
from tests.projections.bench import Bench
from tests.projections.sample import (
    POISON,
    Balances,
    Deposited,
    Deposits,
    FakeLog,
    Noted,
    Picky,
    account,
    company,
    fill,
)

pytestmark = pytest.mark.asyncio


async def test_a_write_is_seen_by_the_read_behind_it(bench: Bench, log: FakeLog) -> None:
    engine = open_engine(bench.database_url, pool_size=6)
    freshnesses = Freshnesses(engine)
    stale_without_token = 0

    async def pairs(number: int) -> None:
        nonlocal stale_without_token
        for n in range(40):
            await log.append(number, Deposited(account=account(n), amount=1))
            position = next(
                r.position for r in reversed(log.all(number % 4)) if r.company_id == company(number)
            )
            if n % 2:
                freshness = await freshnesses.wait(
                    ["sample_deposits"], number % 4, position, timeout_seconds=60
                )
                assert freshness.fresh
            async with reading_at(engine, company(number), ("sample_deposits",), number % 4) as (
                connection,
                standings,
            ):
                count = (
                    await connection.execute(text("SELECT count(*) FROM read.sample_deposits"))
                ).scalar_one()
            at = standings["sample_deposits"].position
            if n % 2:
                assert count == n + 1
                assert at >= position
            elif count < n + 1:
                stale_without_token += 1

    async with bench.worker(log, [Balances, Deposits]):
        await fill(log, 10)
        await bench.caught_up(log, "sample_deposits")
        await freshnesses.start()
        await asyncio.gather(*[pairs(number) for number in range(20, 26)])
    await freshnesses.stop()
    await engine.dispose()
    # Otherwise this test could not fail.
    assert stale_without_token > 0


async def test_waiting_ends_in_time_or_at_once(bench: Bench, log: FakeLog) -> None:
    await log.append(1, Deposited(account=account(1), amount=POISON), Noted())
    engine = open_engine(bench.database_url, pool_size=2)
    freshnesses = Freshnesses(engine)
    await freshnesses.start()
    async with bench.worker(log, [Balances, Picky]):
        await bench.caught_up(log, "sample_balances")

        async def failed() -> bool:
            return await bench.rows("SELECT count(*) FROM read.failures") == [(1,)]

        await bench.until(failed, what="the failure")
        async with asyncio.timeout(60):
            stopped = await freshnesses.wait(["sample_balances", "sample_picky"], 1, 2, timeout_seconds=9999)
        assert (stopped.fresh, stopped.state, stopped.behind) == (False, "stopped", ("sample_picky",))
        assert stopped.positions == {"sample_balances": 2, "sample_picky": 0}

        begun = time.monotonic()
        late = await freshnesses.wait(["sample_balances"], 1, 99, timeout_seconds=0.3)
        assert time.monotonic() - begun > 0.25
        assert (late.fresh, late.state) == (False, "behind")

        await pause(bench.database_url, "sample_balances", "tests", actor="ana")
        async with asyncio.timeout(60):
            paused = await freshnesses.wait(["sample_balances"], 1, 99, timeout_seconds=9999)
        assert paused.state == "stopped"
        await resume(bench.database_url, "sample_balances", actor="ana")
        with pytest.raises(UnknownProjections):
            await freshnesses.wait(["nothing"], 1, 1)
    await freshnesses.stop()
    await engine.dispose()


async def test_what_is_remembered_needs_no_question_and_is_forgotten_at_a_rollback(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that the generation gone back to is behind at first.
    monkeypatch.setattr("projections.rebuild._ROLLBACK_SECONDS", 0)
    await fill(log, 100)
    engine = open_engine(bench.database_url, pool_size=2)
    freshnesses = Freshnesses(engine)
    await freshnesses.start()
    async with open_workshop(bench.database_url, bench.redis_url, log, projections=[Balances]) as workshop:
        async with bench.worker(log, [Balances]):
            await bench.caught_up(log, "sample_balances")
        await workshop.rebuild("sample_balances")
        async with bench.worker(log, [Balances]):
            await log.append(1, *[Noted() for _ in range(300)])
            await bench.caught_up(log, "sample_balances")
        head = await log.head(1)
        assert (await freshnesses.wait(["sample_balances"], 1, head)).fresh
        async with engine.connect(), engine.connect():
            # No connection is free, and none is needed.
            assert (await freshnesses.wait(["sample_balances"], 1, head, timeout_seconds=0.1)).fresh
        await workshop.rollback("sample_balances")

        async def forgotten() -> bool:
            return not (await freshnesses.wait(["sample_balances"], 1, head, timeout_seconds=0)).fresh

        await bench.until(forgotten, what="the news")
    await freshnesses.stop()
    await engine.dispose()


async def test_what_a_notification_says_is_believed_of_the_served_generation_only(
    bench: Bench, log: FakeLog
) -> None:
    await fill(log, 100)
    head = await log.head(1)
    engine = open_engine(bench.database_url, pool_size=2)
    freshnesses = Freshnesses(engine)
    await freshnesses.start()
    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
    # With the worker gone, nobody but this test says anything.
    assert (await freshnesses.wait(["sample_balances"], 1, head, timeout_seconds=5)).fresh

    async def says(payload: str) -> None:
        await bench.execute("SELECT pg_notify('ccontrol_checkpoints', %s)", payload)

    async def fresh() -> bool:
        # Not in its last look, which asks the database: what is remembered is what is tested.
        return (await freshnesses.wait(["sample_balances"], 1, head + 5, timeout_seconds=0.01)).fresh

    await says('{"at":{"1":{"sample_balances":[99,100000],"unheard_of":[1,100000]}}}')
    await says('{"at":{"2":{"sample_balances":[1,100000]}}}')
    # Notifications come in order: with the last one heard, those before it are.
    last_heard = freshnesses.news(3)
    await says('{"at":{"3":{"unheard_of":[1,1]}}}')
    await asyncio.wait_for(last_heard.wait(), 60)
    assert not await fresh()
    await says(f'{{"at":{{"1":{{"sample_balances":[1,{head + 5}]}}}}}}')
    await bench.until(fresh, what="the news")
    # A partition of which too much would have to be said, and then everything, is asked about anew.
    for forget in ('{"at":{"1":{}}}', "*"):
        await says(forget)

        async def forgotten() -> bool:
            return not await fresh()

        await bench.until(forgotten, what="forgetting")
        await says(f'{{"at":{{"1":{{"sample_balances":[1,{head + 5}]}}}}}}')
        await bench.until(fresh, what="the news")
    await freshnesses.stop()
    await engine.dispose()
