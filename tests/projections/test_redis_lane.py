"""Redis views equal their SQL twin, and mend themselves after whatever happens to Redis."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from projections.batch import RedisBatch
from projections.operate import resume
from projections.projector import RedisProjection, on
from projections.rebuild import open_workshop
from read_model.cache import Keys, Views, text_of
from runtime.servers import ValkeyServer
from tests.projections.bench import Bench
from tests.projections.sample import (
    PARTITIONS,
    POISON,
    Balances,
    BalanceViews,
    Closed,
    Deposited,
    FakeLog,
    account,
    company,
    fill,
)
from write_model.message import Recorded

pytestmark = pytest.mark.asyncio

KEYS = Keys("sample", 1)
NAMES = ("sample_balances", "sample_balance_views")


async def twin(bench: Bench, number: int) -> dict[UUID, int]:
    rows = await bench.rows(
        "SELECT account, balance FROM read.sample_balances WHERE company_id = %s", company(number)
    )
    return {row[0]: row[1] for row in rows}


async def view(views: Views, number: int) -> dict[UUID, int] | None:
    found = await views.read("sample_balance_views", number % PARTITIONS, str(company(number)))
    try:
        return {UUID(name): int(text) for name, text in found.fields.items()} if found else None
    except ValueError:
        return None  # as the product's own readers do


async def agree(bench: Bench, views: Views) -> bool:
    return all([await view(views, number) == await twin(bench, number) for number in range(8)])


async def live_keys(client: Redis, partition: int) -> str:
    return text_of(await client.hget(KEYS.partition("sample_balance_views", 1, partition) + "meta", "live"))


async def test_a_view_equals_its_sql_twin(bench: Bench, log: FakeLog) -> None:
    await fill(log, 3000)
    async with Redis.from_url(bench.redis_url) as client, bench.worker(log, [Balances, BalanceViews]):
        views = Views(client, KEYS)
        await bench.caught_up(log, *NAMES)
        await bench.until(lambda: agree(bench, views), what="agreement")
        for seed in range(2, 6):
            await fill(log, 60, seed=seed)
            await bench.caught_up(log, *NAMES)
        assert await agree(bench, views)
        head = await log.head(1)
        found = await views.read("sample_balance_views", 1, str(company(1)), at_least=head)
        assert found is not None
        assert found.position == head
        assert await views.read("sample_balance_views", 1, str(company(1)), at_least=head + 1) is None
        one = await views.read(
            "sample_balance_views", 1, str(company(1)), fields=[str(account(3)), "nothing"]
        )
        assert one is not None
        assert one.fields.keys() <= {str(account(3))}
        # A company without events has an empty view, and that is an answer.
        nothing = await views.read("sample_balance_views", 1, str(company(97)))
        assert nothing is not None
        assert nothing.fields == {}


async def test_a_view_is_rebuilt_after_a_flush_and_never_served_half_built(
    bench: Bench, log: FakeLog
) -> None:
    await fill(log, 9000)
    async with Redis.from_url(bench.redis_url) as client:
        views = Views(client, KEYS)
        async with bench.worker(log, [Balances, BalanceViews]):
            await bench.caught_up(log, *NAMES)
            await bench.until(lambda: agree(bench, views), what="agreement")
            truth = await twin(bench, 1)
            await client.flushdb()
            await log.append(1, Closed(account=account(9999)))
            seen = []

            async def back() -> bool:
                seen.append(await view(views, 1))
                return seen[-1] is not None

            await bench.until(back, what="the view")
            assert all(answer in (None, truth) for answer in seen)
            await bench.until(lambda: agree(bench, views), what="agreement")


GARBAGE = b"\xff\x00"
Damage = Callable[[Redis, str, str], Awaitable[Any]]
"""Done to a Redis: what the keys of the partition begin with, and the name of its key set."""


def of_company(prefix: str, keys: str) -> str:
    return f"{prefix}{keys}:v:{company(1)}"


async def take_over(client: Redis, prefix: str, keys: str) -> None:
    """What a Redis holds that another installation has filled."""
    for key in [text_of(key) async for key in client.scan_iter(f"{KEYS.family}*")]:
        await client.rename(key, f"cc:other:{key.removeprefix(KEYS.family)}")


ONE = str(account(1))
DAMAGES: dict[str, Damage] = {
    "meta": lambda client, prefix, _: client.set(prefix + "meta", GARBAGE),
    "view": lambda client, prefix, keys: client.set(of_company(prefix, keys), GARBAGE),
    "lost view": lambda client, prefix, keys: client.delete(of_company(prefix, keys)),
    "checkpoint": lambda client, prefix, keys: client.hset(prefix + "meta", f"at:{keys}", GARBAGE),
    "earlier checkpoint": lambda client, prefix, keys: client.hset(prefix + "meta", f"at:{keys}", 1),
    "field": lambda client, prefix, keys: client.hset(of_company(prefix, keys), ONE, GARBAGE),
    "figure": lambda client, prefix, keys: client.hincrby(of_company(prefix, keys), ONE, 1),
    "lost field": lambda client, prefix, keys: client.hdel(of_company(prefix, keys), ONE),
    "lost check": lambda client, prefix, keys: client.hdel(of_company(prefix, keys), f"~{ONE}"),
    "registry": lambda client, prefix, keys: client.set(f"{prefix}{keys}:views", GARBAGE),
    "lost registry": lambda client, prefix, keys: client.delete(
        f"{prefix}{keys}:views", of_company(prefix, keys)
    ),
    "generation": lambda client, *_: client.set(KEYS.generation("sample_balance_views"), GARBAGE),
    "another installation": take_over,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("fields", [(), (ONE,)], ids=["whole", "in part"])
async def test_damage_is_noticed_and_mended(
    bench: Bench, log: FakeLog, damage: Damage, fields: tuple[str, ...]
) -> None:
    await fill(log, 1000)
    async with Redis.from_url(bench.redis_url) as client:
        views = Views(client, KEYS)
        async with bench.worker(log, [Balances, BalanceViews]):
            await bench.caught_up(log, *NAMES)
            await bench.until(lambda: agree(bench, views), what="agreement")
            await damage(client, KEYS.partition("sample_balance_views", 1, 1), await live_keys(client, 1))
            assert await views.read("sample_balance_views", 1, str(company(1)), fields=fields) is None
            await log.append(1, Deposited(account=account(1), amount=5))
            await bench.until(lambda: agree(bench, views), what="agreement")
            assert await bench.rows("SELECT count(*) FROM read.failures") == [(0,)]


@pytest.mark.parametrize(
    "damage",
    [
        "lost view",
        "earlier checkpoint",
        "field",
        "figure",
        "lost field",
        "lost check",
        "registry",
        "lost registry",
    ],
)
async def test_nothing_is_added_to_what_is_damaged(bench: Bench, log: FakeLog, damage: str) -> None:
    """The worker notices by itself, with nobody who reads."""
    await fill(log, 1000)
    async with Redis.from_url(bench.redis_url) as client:
        views = Views(client, KEYS)
        async with bench.worker(log, [Balances, BalanceViews]):
            await bench.caught_up(log, *NAMES)
            await bench.until(lambda: agree(bench, views), what="agreement")
            before = await live_keys(client, 1)
            await DAMAGES[damage](client, KEYS.partition("sample_balance_views", 1, 1), before)
            await log.append(1, Deposited(account=account(1), amount=5))

            async def anew() -> bool:
                return await live_keys(client, 1) != before

            await bench.until(anew, what="another key set")


async def test_sql_goes_on_while_redis_is_down(
    bench: Bench, log: FakeLog, private_redis: ValkeyServer
) -> None:
    bench.redis_url = private_redis.url
    await fill(log, 300)
    async with Redis.from_url(bench.redis_url) as client:
        views = Views(client, KEYS)
        async with bench.worker(log, [Balances, BalanceViews]):
            await bench.caught_up(log, *NAMES)
            await bench.until(lambda: agree(bench, views), what="agreement")
            await asyncio.to_thread(private_redis.kill)
            await fill(log, 300, seed=2)
            await bench.caught_up(log, "sample_balances")
            assert await view(views, 1) is None
            await asyncio.to_thread(private_redis.start)
            await bench.until(lambda: agree(bench, views), what="agreement")


async def test_another_epoch_is_another_redis(bench: Bench, log: FakeLog) -> None:
    await fill(log, 300)
    async with Redis.from_url(bench.redis_url) as client:
        async with bench.worker(log, [Balances, BalanceViews]):
            await bench.caught_up(log, *NAMES)
            await bench.until(lambda: agree(bench, Views(client, KEYS)), what="agreement")
        assert await view(Views(client, Keys("sample", 2)), 1) is None


async def test_two_workers_never_count_twice(bench: Bench, log: FakeLog) -> None:
    """Both believe they hold the partition: the checkpoint in the script decides."""
    async with (
        Redis.from_url(bench.redis_url) as client,
        bench.worker(log, [Balances, BalanceViews], owner="a", lease_seconds=60),
    ):
        await fill(log, 100)
        await bench.caught_up(log, *NAMES)
        await bench.execute("UPDATE read.leases SET expires_at = '-infinity'; DELETE FROM read.workers")
        async with bench.worker(log, [Balances, BalanceViews], owner="b", lease_seconds=60):
            for seed in range(20):
                await fill(log, 40, seed=seed)
                await asyncio.sleep(0.02)
            await bench.caught_up(log, *NAMES)
            await bench.until(lambda: agree(bench, Views(client, KEYS)), what="agreement")


async def test_a_redis_projection_is_rebuilt_and_compared(bench: Bench, log: FakeLog) -> None:
    await fill(log, 2000)
    async with Redis.from_url(bench.redis_url, decode_responses=True) as client:
        views = Views(client, KEYS)
        async with (
            bench.worker(log, [Balances, BalanceViews]),
            open_workshop(
                bench.database_url, bench.redis_url, log, projections=[Balances, BalanceViews]
            ) as workshop,
        ):
            await bench.caught_up(log, *NAMES)
            await bench.until(lambda: agree(bench, views), what="agreement")
            comparison = await workshop.compare("sample_balance_views")
            assert comparison is not None
            assert comparison.equal
            assert await client.keys("cc:sample:1:sample_balance_views:g2:*") == []

            keys = await live_keys(client, 1)
            await client.hincrby(
                f"cc:sample:1:sample_balance_views:g1:p1:{keys}:v:{company(1)}", str(account(1)), 1
            )
            comparison = await workshop.compare("sample_balance_views")
            assert comparison is not None
            assert [row.key for row in comparison.tables[0].sample] == [f"1:{company(1)}"]

            outcome = await workshop.rebuild("sample_balance_views")
            assert outcome.promoted
            assert await client.get("cc:sample:1:sample_balance_views:generation") == str(outcome.generation)
            await fill(log, 100, seed=9)
            await bench.caught_up(log, *NAMES)
            await bench.until(lambda: agree(bench, views), what="agreement")


class PickyViews(RedisProjection):
    """Cannot take one amount, until it is mended."""

    name = "sample_picky_views"
    version = 1
    twin = Balances.name
    mended = False

    @on(Deposited)
    def deposited(self, batch: RedisBatch, recorded: Recorded, fact: Deposited) -> None:
        if fact.amount == POISON and not self.mended:
            raise RuntimeError("cannot take this")
        batch.increment("all", "n", 1)


async def test_a_poison_event_stops_one_view_and_resume_goes_on(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped() -> bool:
        found = await bench.rows("SELECT projection, position FROM read.failures WHERE resolved_at IS NULL")
        return found == [("sample_picky_views", 21)]

    async with Redis.from_url(bench.redis_url) as client:
        views = Views(client, KEYS)
        async with bench.worker(log, [Balances, BalanceViews, PickyViews]):

            async def served() -> bool:
                return await views.read("sample_picky_views", 1, "all") is not None

            # A key set that has never been whole is not served at all.
            await bench.until(served, what="the view")
            for _ in range(20):
                await log.append(1, Deposited(account=account(1), amount=1))
            await log.append(1, Deposited(account=account(1), amount=POISON))
            await log.append(1, Deposited(account=account(1), amount=1))
            await bench.until(stopped, what="the stop")
            await bench.caught_up(log, *NAMES)
            last_good = await views.read("sample_picky_views", 1, "all")
            assert last_good is not None
            assert (last_good.position, last_good.fields) == (20, {"n": "20"})
            monkeypatch.setattr(PickyViews, "mended", True)
            await resume(bench.database_url, "sample_picky_views", actor="ana")
            await bench.caught_up(log, "sample_picky_views")
            whole = await views.read("sample_picky_views", 1, "all")
            assert whole is not None
            assert whole.fields == {"n": "22"}


@pytest.mark.parametrize("position", ["9" * 5000, "-1", "1.5", "٣", ""])
async def test_what_is_no_position_is_no_answer(redis_url: str, position: str) -> None:
    async with Redis.from_url(redis_url) as client:
        views, of_view = Views(client, KEYS), ("sample", 0, "a")
        await client.set("cc:sample:1:sample:generation", 1)
        for field, value in {"live": "k", "at:k": "7", "when:k": "2026-11-27", "views:k": "0"}.items():
            await client.hset("cc:sample:1:sample:g1:p0:meta", field, value)
        found = await views.read(*of_view)
        assert found is not None
        assert (found.position, found.recorded_at) == (7, None), "a day is no moment"

        await client.hset("cc:sample:1:sample:g1:p0:meta", "at:k", position)
        assert await views.read(*of_view) is None
