"""A rebuild that has begun comes to its end, whatever happens to the database, Redis or a helper."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
import redis.exceptions
from redis.asyncio import Redis

from projections import comparing, connections, pursuit, tidying
from projections.building import Progress
from projections.comparison import compare_table
from projections.connections import open_pool
from projections.crew import Crew, HelperDied
from projections.jobs import Jobs, recorded
from projections.premises import Premises
from projections.projector import AnyProjection
from projections.promotion import positions_of
from projections.rebuild import open_workshop
from projections.redis_lane import RedisLane
from projections.status import status
from read_model.cache import Views
from read_model.database import open_engine
from runtime.servers import ValkeyServer
from tests.projections.bench import Bench
from tests.projections.sample import Balances, BalanceViews, Deposits, FakeLog, fill
from tests.projections.test_redis_lane import KEYS, NAMES, agree

pytestmark = pytest.mark.asyncio

ALL: list[type[AnyProjection]] = [Balances, Deposits, BalanceViews]


def workshop_of(bench: Bench, log: FakeLog) -> Any:
    return open_workshop(bench.database_url, bench.redis_url, log, projections=ALL)


async def folded(bench: Bench, log: FakeLog, count: int) -> None:
    await fill(log, count)
    async with bench.worker(log, ALL):
        await bench.caught_up(log, *NAMES, "sample_deposits")


class Held:
    """Each page of the log waits until it is let go."""

    def __init__(self, log: FakeLog) -> None:
        self.go, self.asked = asyncio.Event(), asyncio.Event()
        log.trouble = self.wait

    async def wait(self) -> None:
        self.asked.set()
        await self.go.wait()


@pytest.mark.parametrize("act", ["rebuild", "compare"])
async def test_who_lost_the_database_and_the_lock_with_it_goes_on(
    bench: Bench, log: FakeLog, act: str
) -> None:
    await folded(bench, log, 2000)
    held = Held(log)
    async with workshop_of(bench, log) as workshop:
        working = asyncio.create_task(getattr(workshop, act)("sample_deposits"))
        await held.asked.wait()
        await bench.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'ccontrol-rebuild' AND datname = current_database()"
        )
        held.go.set()
        done = await working
    comparison = done if act == "compare" else done.comparison
    assert comparison is not None
    assert comparison.equal
    assert await bench.rows(
        "SELECT count(*) FROM read.generations WHERE status IN ('scratch', 'building')"
    ) == [(0,)]
    served = await bench.rows("SELECT generation FROM read.projections WHERE name = 'sample_deposits'")
    assert served == [(1 if act == "compare" else 2,)]


async def test_status_says_who_builds_who_waits_and_for_what(
    bench: Bench, log: FakeLog, private_redis: ValkeyServer
) -> None:
    bench.redis_url = private_redis.url
    await folded(bench, log, 2000)
    engine = open_engine(bench.database_url, pool_size=1)

    async def found(name: str) -> tuple[str, list[str], str | None]:
        one = next(each for each in await status(engine, log, projections=ALL) if each.name == name)
        return one.state, [generation.status for generation in one.generations], one.waiting_for

    async def is_(name: str, *wanted: object) -> bool:
        return (await found(name))[:2] == wanted

    async with (
        workshop_of(bench, log) as workshop,
        open_pool(bench.database_url, size=2) as pool,
        Redis.from_url(bench.redis_url) as client,
    ):
        held = Held(log)
        working = asyncio.create_task(workshop.rebuild("sample_deposits", promote="never"))
        await held.asked.wait()
        assert await is_("sample_deposits", "rebuilding", ["live", "building"])
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        unfinished = ("running", ["live", "unfinished"])
        await bench.until(lambda: is_("sample_deposits", *unfinished), what="the end")
        log.trouble = None
        await workshop.rebuild("sample_deposits", promote="never")
        assert await is_("sample_deposits", "running", ["live", "built"])
        await workshop.promote("sample_deposits")
        assert await is_("sample_deposits", "running", ["kept", "live"])

        held, jobs = Held(log), Jobs(pool)
        job = await jobs.add(uuid4(), "rebuild", "sample_balance_views", {}, "ana", owner="me")
        working = asyncio.create_task(
            recorded(
                jobs,
                job,
                "me",
                lambda note: workshop.rebuild("sample_balance_views", on_progress=note),
                lambda outcome: {},
            )
        )
        await held.asked.wait()
        await client.config_set("maxmemory", "1")
        held.go.set()

        async def said() -> bool:
            return "Redis is full" in ((await found("sample_balance_views"))[2] or "")

        await bench.until(said, what="a word")
        await client.config_set("maxmemory", "0")
        await working
        assert (await found("sample_balance_views"))[2] is None
    await engine.dispose()


async def test_who_cannot_begin_says_so_at_once(bench: Bench, log: FakeLog) -> None:
    await folded(bench, log, 10)
    bench.redis_url = "redis://127.0.0.1:1/0"
    async with workshop_of(bench, log) as workshop:
        with pytest.raises(redis.exceptions.ConnectionError):
            await workshop.rebuild("sample_balance_views")


async def test_a_full_redis_is_waited_for_and_said(
    bench: Bench, log: FakeLog, private_redis: ValkeyServer
) -> None:
    bench.redis_url = private_redis.url
    await folded(bench, log, 2000)
    held = Held(log)
    said: list[Progress] = []

    async def waits() -> bool:
        return any(progress.waiting_for for progress in said)

    async with workshop_of(bench, log) as workshop, Redis.from_url(bench.redis_url) as client:
        working = asyncio.create_task(workshop.rebuild("sample_balance_views", on_progress=said.append))
        await held.asked.wait()
        await client.config_set("maxmemory", "1")
        held.go.set()
        await bench.until(waits, what="a word")
        reason = next(progress.waiting_for for progress in said if progress.waiting_for)
        assert "Redis is full" in reason
        assert "maxmemory" in reason
        assert not working.done()
        await client.config_set("maxmemory", "0")
        outcome = await working
    assert outcome.comparison.equal
    assert said[-1].waiting_for is None


async def test_a_redis_that_is_killed_and_comes_back_empty_is_filled(
    bench: Bench, log: FakeLog, private_redis: ValkeyServer
) -> None:
    bench.redis_url = private_redis.url
    await folded(bench, log, 2000)
    held = Held(log)
    said: list[Progress] = []

    async def waits() -> bool:
        return any(progress.waiting_for for progress in said)

    async with workshop_of(bench, log) as workshop:
        working = asyncio.create_task(workshop.rebuild("sample_balance_views", on_progress=said.append))
        await held.asked.wait()
        private_redis.kill()
        held.go.set()
        await bench.until(waits, what="a word")
        private_redis.start()
        await working
    async with bench.worker(log, ALL), Redis.from_url(bench.redis_url) as client:
        await bench.until(lambda: agree(bench, Views(client, KEYS)), what="agreement", seconds=60)


async def test_views_are_served_once_redis_is_back_where_it_went_away_at_the_switch(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await folded(bench, log, 500)

    async def away(*_: object) -> None:
        raise redis.exceptions.ConnectionError("away")

    async with bench.worker(log, ALL), workshop_of(bench, log) as workshop:
        with monkeypatch.context() as gone:
            gone.setattr(RedisLane, "serve", away)
            gone.setattr(RedisLane, "remove", away)
            assert (await workshop.rebuild("sample_balance_views", compare=False)).generation == 2
            assert (await workshop.rebuild("sample_balance_views", compare=False)).generation == 3
        async with Redis.from_url(bench.redis_url) as client:

            async def served() -> bool:
                return await client.get("cc:sample:1:sample_balance_views:generation") in (b"3", "3")

            await bench.until(served, what="the new generation")
            await bench.until(lambda: agree(bench, Views(client, KEYS)), what="agreement")
            # What could not be deleted then is deleted with all that nobody knows any more.
            assert await client.keys("cc:sample:1:sample_balance_views:g1:*")
            await tidying.forget_keys(workshop.premises)
            assert not await client.keys("cc:sample:1:sample_balance_views:g1:*")
            assert await client.keys("cc:sample:1:sample_balance_views:g2:*")
            await bench.until(lambda: agree(bench, Views(client, KEYS)), what="agreement")


async def test_both_sides_of_a_comparison_may_wait_for_long(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = connections._OPTIONS.replace("=15s", "=100ms")
    assert options != connections._OPTIONS
    await folded(bench, log, 1000)
    monkeypatch.setattr(connections, "_OPTIONS", options)

    async def slow(act: Callable[..., Awaitable[Any]], *given: Any, **named: Any) -> Any:
        await asyncio.sleep(0.5)
        return await act(*given, **named)

    async def positions_slowly(*given: Any) -> Any:
        found = await positions_of(*given)
        await asyncio.sleep(0.5)
        return found

    monkeypatch.setattr(comparing, "positions_of", positions_slowly)
    monkeypatch.setattr(
        comparing, "compare_table", lambda *given, **named: slow(compare_table, *given, **named)
    )
    async with workshop_of(bench, log) as workshop:
        async with asyncio.timeout(30):
            comparison = await workshop.compare("sample_deposits")
    assert comparison is not None
    assert comparison.equal


async def test_a_helper_that_died_is_replaced(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pursuit, "_HELPED_FROM_EVENTS", 1)
    await folded(bench, log, 1000)
    deaths = 0

    async def dies(*_: object) -> None:
        nonlocal deaths
        deaths += 1
        if deaths == 1:
            raise HelperDied("killed")
        # Nothing is left that would be worth starting a process for.
        monkeypatch.setattr(pursuit, "_HELPED_FROM_EVENTS", 10_000)
        raise HelperDied("killed again")

    monkeypatch.setattr(Crew, "fold", dies)
    async with workshop_of(bench, log) as workshop:
        monkeypatch.setattr(workshop, "_crew", Crew(None, bench.database_url, bench.redis_url))  # type: ignore[arg-type]
        assert (await workshop.rebuild("sample_deposits")).comparison.equal
    assert deaths == 2


async def test_what_a_killed_comparison_left_behind_is_dropped(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> None:
        raise asyncio.CancelledError

    await folded(bench, log, 500)
    held = Held(log)
    async with workshop_of(bench, log) as workshop:
        working = asyncio.create_task(workshop.compare("sample_deposits"))
        await held.asked.wait()
        kept = await bench.rows("SELECT * FROM read.generations WHERE status = 'scratch'")
        await tidying.forget_scratch(workshop.premises)
        assert await bench.rows("SELECT * FROM read.generations WHERE status = 'scratch'") == kept != []
        monkeypatch.setattr(Premises, "discard_scratch", killed)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        monkeypatch.undo()
        await tidying.forget_scratch(workshop.premises)
    assert await bench.rows("SELECT count(*) FROM read.generations WHERE status = 'scratch'") == [(0,)]
