"""Processes killed with signal 9 while they fold the real log: nothing is lost, nothing counts twice."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from projections.rebuild import open_workshop
from tests.projections.bench import Bench
from tests.projections.prices import Prices, Shop, open_log
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]

_ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture
async def store(read_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(read_url, KeyRing.create(tmp_path / "root.key"), uuid4)
    yield store
    await store.close()


async def process(what: str, bench: Bench, tmp_path: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.projections.prices",
        what,
        bench.database_url,
        bench.redis_url,
        str(tmp_path / "root.key"),
        cwd=_ROOT,
    )


async def totals(bench: Bench) -> tuple[int, int]:
    ((times, positions),) = await bench.rows(
        "SELECT coalesce(sum(times), 0), coalesce(sum(positions), 0) FROM read.test_prices"
    )
    return int(times), int(positions)


async def true_totals(bench: Bench) -> tuple[int, int]:
    ((times, positions),) = await bench.rows(
        "SELECT count(*), sum(position) FROM ccontrol.events WHERE topic = 'catalog.price_revised'"
    )
    return int(times), int(positions)


async def test_killed_workers_count_every_event_once(bench: Bench, store: Store, tmp_path: Path) -> None:
    dice = random.Random(11)
    shops = [Shop(store, uuid4()) for _ in range(6)]
    for _ in range(6):
        workers = [await process("work", bench, tmp_path) for _ in range(2)]
        for _ in range(10):
            await asyncio.gather(*[shop.revise(dice.randrange(1, 60)) for shop in shops])
            await asyncio.sleep(dice.uniform(0, 0.3))
        for worker in workers:
            worker.kill()
            await worker.wait()
    last = await process("work", bench, tmp_path)
    async with open_log(bench.database_url, tmp_path / "root.key") as log:
        await bench.caught_up(log, "test_prices", seconds=60)
    last.kill()
    await last.wait()
    assert await totals(bench) == await true_totals(bench)


async def test_a_killed_rebuild_goes_on_where_it_stopped(bench: Bench, store: Store, tmp_path: Path) -> None:
    shops = [Shop(store, uuid4()) for _ in range(4)]
    for _ in range(10):
        await asyncio.gather(*[shop.revise(200) for shop in shops])
    worker = await process("work", bench, tmp_path)
    async with open_log(bench.database_url, tmp_path / "root.key") as log:
        await bench.caught_up(log, "test_prices", seconds=60)
        worker.terminate()
        await worker.wait()
        found: list[int] = []
        for _ in range(12):
            rebuild = await process("rebuild", bench, tmp_path)
            before = found[-1] if found else 0

            async def further(before: int = before, rebuild: asyncio.subprocess.Process = rebuild) -> bool:
                # Once promoted, the generation may be one that the next rebuild has already dropped.
                found.append(max(await built(bench), before))
                return found[-1] > before + 1000 or rebuild.returncode is not None

            await bench.until(further, what="progress")
            if rebuild.returncode is None:
                rebuild.kill()
            if await rebuild.wait() == 0:
                break
        assert found == sorted(found)
        assert any(0 < at < 8000 for at in found), "no rebuild was killed half way"
        async with open_workshop(bench.database_url, bench.redis_url, log, projections=[Prices]) as workshop:
            await workshop.rebuild("test_prices")
            assert (await workshop.compare("test_prices")).equal  # type: ignore[union-attr]
    assert await totals(bench) == await true_totals(bench)


async def built(bench: Bench) -> int:
    ((position,),) = await bench.rows(
        "SELECT coalesce(max(total), 0) FROM (SELECT sum(position) AS total FROM read.checkpoints "
        "WHERE generation > 1 GROUP BY generation) AS totals"
    )
    return int(position)
