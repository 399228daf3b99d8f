"""Processes killed with signal 9 while they fold the real log: nothing is lost, nothing counts twice.

A few kills by default. `CCONTROL_PROJECTOR_KILLS=100 ./test -s tests/projections/test_kill.py` makes that
many.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from projections.rebuild import open_workshop
from read_model.cache import Keys, Views
from tests.projections.bench import Bench
from tests.projections.prices import Prices, Shop, open_log
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

KILLS = int(os.environ.get("CCONTROL_PROJECTOR_KILLS", "8"))
WORKERS = 2

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240 + 15 * KILLS)]

_ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture
async def store(read_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(read_url, KeyRing.create(tmp_path / "root.key"), uuid4)
    yield store
    await store.close()


Start = Callable[[str], Awaitable[asyncio.subprocess.Process]]


@pytest_asyncio.fixture
async def start(bench: Bench, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts processes, of which none outlives its test."""
    started: list[asyncio.subprocess.Process] = []

    async def one_more(what: str) -> asyncio.subprocess.Process:
        arguments = (what, bench.database_url, bench.redis_url, str(tmp_path / "root.key"))
        found = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.projections.prices", *arguments, cwd=_ROOT
        )
        started.append(found)
        return found

    yield one_more
    for each in started:
        if each.returncode is None:
            each.kill()
        await each.wait()


async def folded(bench: Bench) -> int:
    """How many events both lanes together have behind them."""
    ((events,),) = await bench.rows("SELECT coalesce(sum(position), 0)::bigint FROM read.checkpoints")
    return int(events)


async def further(bench: Bench, before: int) -> bool:
    return await folded(bench) > before


Counted = dict[str, tuple[int, int]]
"""By product: how often its price was revised, and the sum of the positions at which it was."""


async def in_truth(bench: Bench) -> Counted:
    return await counted(
        bench,
        "SELECT stream_id, count(*), sum(position) FROM ccontrol.events "
        "WHERE topic = 'catalog.price_revised' GROUP BY stream_id",
    )


async def in_sql(bench: Bench) -> Counted:
    return await counted(bench, "SELECT stream, times, positions FROM read.test_prices")


async def counted(bench: Bench, query: str) -> Counted:
    return {str(stream): (int(times), int(at)) for stream, times, at in await bench.rows(query)}


async def in_redis(bench: Bench, keys: Keys, companies: Collection[UUID]) -> Counted:
    found: Counted = {}
    homes = await bench.rows("SELECT DISTINCT company_id, partition FROM ccontrol.events")
    async with Redis.from_url(bench.redis_url) as client:
        views = Views(client, keys, patience_seconds=5)
        for company_id, partition in homes:
            view = await views.read("test_price_views", partition, str(company_id))
            assert view is not None, "a view is missing, or not whole"
            for field, text in view.fields.items():
                product, _, what = field.partition(" ")
                times, positions = found.get(product, (0, 0))
                found[product] = (int(text), positions) if what == "times" else (times, int(text))
    assert len(homes) == len(companies)
    return found


def differences(found: Counted, truth: Counted) -> tuple[int, int]:
    """How many events were skipped, and how many counted twice."""
    surplus = [found.get(key, (0, 0))[0] - truth.get(key, (0, 0))[0] for key in found.keys() | truth.keys()]
    return -sum(by for by in surplus if by < 0), sum(by for by in surplus if by > 0)


@asynccontextmanager
async def in_business(shops: Sequence[Shop], dice: random.Random) -> AsyncIterator[None]:
    """Prices are revised all the time, until the end."""
    closing = asyncio.Event()

    async def trade(shop: Shop) -> None:
        while not closing.is_set():
            await shop.revise(dice.randrange(1, 60))
            await asyncio.sleep(dice.uniform(0, 0.2))

    async with asyncio.TaskGroup() as tasks:
        for shop in shops:
            tasks.create_task(trade(shop))
        yield
        closing.set()


async def test_killed_workers_count_every_event_once(
    bench: Bench, store: Store, start: Start, tmp_path: Path
) -> None:
    dice = random.Random(11)
    companies = [uuid4() for _ in range(6)]
    shops = [Shop(store, company_id) for company_id in companies]
    killed = 0
    while killed < KILLS:
        before = await folded(bench)
        workers = [await start("work") for _ in range(WORKERS)]
        async with in_business(shops, dice):
            await bench.until(partial(further, bench, before), what="progress", seconds=60)
            for worker in workers:
                await asyncio.sleep(dice.uniform(0, 0.3))
                worker.kill()
                # Not one that has ended by itself: that would be no kill.
                assert await worker.wait() == -signal.SIGKILL
                killed += 1
    await start("work")
    async with open_log(bench.database_url, tmp_path / "root.key") as log:
        await bench.caught_up(log, "test_prices", "test_price_views", seconds=60)
        truth, sql = await in_truth(bench), await in_sql(bench)
        redis = await in_redis(bench, Keys(log.installation, log.epoch), companies)
    events = sum(times for times, _ in truth.values())
    for lane, found in (("SQL", sql), ("Redis", redis)):
        skipped, twice = differences(found, truth)
        told = f"{lane}: {killed} kills, {events} events, {skipped} skipped, {twice} twice"
        sys.stdout.write(told + "\n")
    assert sql == truth
    assert redis == truth


async def test_a_killed_rebuild_goes_on_where_it_stopped(
    bench: Bench, store: Store, start: Start, tmp_path: Path
) -> None:
    shops = [Shop(store, uuid4()) for _ in range(4)]
    for _ in range(10):
        await asyncio.gather(*[shop.revise(200) for shop in shops])
    worker = await start("work")
    async with open_log(bench.database_url, tmp_path / "root.key") as log:
        await bench.caught_up(log, "test_prices", seconds=60)
        worker.terminate()
        await worker.wait()
        found: list[int] = []
        for _ in range(12):
            rebuild = await start("rebuild")
            before = found[-1] if found else 0

            async def moved(before: int = before, rebuild: asyncio.subprocess.Process = rebuild) -> bool:
                # Once promoted, the generation may be one that the next rebuild has already dropped.
                found.append(max(await built(bench), before))
                return found[-1] > before + 1000 or rebuild.returncode is not None

            await bench.until(moved, what="progress", seconds=60)
            if rebuild.returncode is None:
                rebuild.kill()
            if await rebuild.wait() == 0:
                break
        assert found == sorted(found)
        assert any(0 < at < 8000 for at in found), "no rebuild was killed half way"
        async with open_workshop(bench.database_url, bench.redis_url, log, projections=[Prices]) as workshop:
            await workshop.rebuild("test_prices")
            assert (await workshop.compare("test_prices")).equal  # type: ignore[union-attr]
    assert await in_sql(bench) == await in_truth(bench)


async def built(bench: Bench) -> int:
    ((position,),) = await bench.rows(
        "SELECT coalesce(max(total), 0) FROM (SELECT sum(position) AS total FROM read.checkpoints "
        "WHERE generation > 1 GROUP BY generation) AS totals"
    )
    return int(position)
