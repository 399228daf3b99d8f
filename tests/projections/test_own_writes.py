"""The token's contract on the real store: slow commits, appends that are rolled back, reads behind them.

`CCONTROL_PAIRS=10000` makes the pairs of a write and a read as many as the contract was proved with.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from projections.worker import run
from read_model.database import open_engine, reading
from read_model.freshness import Freshnesses
from tests.projections.bench import Bench
from tests.projections.prices import Prices, open_log
from tests.store.submissions import context
from write_model.catalog.events import PriceRevised
from write_model.store.append import Appended, Decided, NewEvent, StoreError, Submission
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store
from write_model.values.identifiers import ProductId
from write_model.values.quantity import UnitPrice

pytestmark = pytest.mark.asyncio

PAIRS = int(os.environ.get("CCONTROL_PAIRS", "300"))
_WRITERS = 20
_TOPIC = "test.fail"

# Inside the append, at its commit: some take their time, and some are rolled back after all.
_DAWDLE = """
CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(random() * 0.01);
    IF NEW.topic = 'test.fail' THEN RAISE 'rolled back'; END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON ccontrol.commands
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.dawdle();
"""


@dataclass
class Shelf:
    """Products whose prices are revised, and whoever reads how often they were."""

    store: Store
    bench: Bench
    freshnesses: Freshnesses
    engine: AsyncEngine

    async def revise(self, company_id: UUID, version: int, topic: str = "test.revise") -> int:
        """One event; returns its position."""
        product = ProductId(company_id)
        event = PriceRevised(product_id=product, price=UnitPrice.parse("1.5"))
        new = NewEvent(stream_id=product, version=version, event_id=uuid4(), event=event)
        decided = Decided(context=context(company_id), topic=topic, events=(new,), answer="{}")
        verdict = await self.store.append(
            Submission(company_id=company_id, commands=(decided,), expectations={product: version - 1})
        )
        assert isinstance(verdict, Appended)
        position = verdict.records[0].last_position
        assert position is not None
        return position

    async def times(self, company_id: UUID) -> int:
        """How often the price was revised, as a question of this company sees it."""
        async with reading(self.engine, company_id) as connection:
            found = await connection.execute(text("SELECT coalesce(sum(times), 0) FROM read.test_prices"))
            return int(found.scalar_one())

    async def fresh(self, company_id: UUID, position: int) -> bool:
        """Wait as a question with a token does."""
        found = await self.freshnesses.wait(
            ["test_prices"], self.store.partition_of(company_id), position, timeout_seconds=60
        )
        return found.fresh


@pytest_asyncio.fixture
async def shelf(bench: Bench, tmp_path: Path) -> AsyncIterator[Shelf]:
    root = tmp_path / "root.key"
    await bench.execute(_DAWDLE)
    store = await Store.open(bench.database_url, KeyRing.create(root), uuid4)
    engine = open_engine(bench.database_url, pool_size=6)
    freshnesses = Freshnesses(engine)
    await freshnesses.start()
    worker = asyncio.create_task(
        run(
            bench.database_url,
            bench.redis_url,
            partial(open_log, bench.database_url, root),
            projections=[Prices],
        )
    )
    try:
        await bench.until(lambda: _registered(bench), what="the projection")
        yield Shelf(store, bench, freshnesses, engine)
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        await freshnesses.stop()
        await engine.dispose()
        await store.close()


async def _registered(bench: Bench) -> bool:
    return bool(await bench.rows("SELECT FROM pg_class WHERE relname = 'test_prices'"))


async def test_a_read_with_the_token_never_misses_its_own_write(shelf: Shelf) -> None:
    stale = {True: 0, False: 0}

    async def write_and_read(company_id: UUID) -> None:
        for version in range(1, PAIRS // _WRITERS + 1):
            position = await shelf.revise(company_id, version)
            with_token = version % 5 > 0
            if with_token:
                assert await shelf.fresh(company_id, position)
            if await shelf.times(company_id) < version:
                stale[with_token] += 1

    await asyncio.gather(*[write_and_read(uuid4()) for _ in range(_WRITERS)])
    assert stale[True] == 0
    # Otherwise this test could not fail.
    assert stale[False] > 0


async def test_a_rolled_back_append_stalls_nobody(shelf: Shelf) -> None:
    company_id = uuid4()

    async def fail() -> None:
        with pytest.raises(StoreError):
            await shelf.revise(uuid4(), 1, topic=_TOPIC)

    async def write_and_read() -> None:
        for version in range(1, 11):
            assert await shelf.fresh(company_id, await shelf.revise(company_id, version))
            assert await shelf.times(company_id) == version

    await asyncio.gather(write_and_read(), *[fail() for _ in range(10)])
