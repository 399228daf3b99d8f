"""A projection over events of the real store, and a process that folds it until somebody kills it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4, uuid5

from sqlalchemy import BigInteger, Column, Integer, Text

from projections import building
from projections.batch import Batch, RedisBatch
from projections.projector import RedisProjection, SqlProjection, on
from projections.rebuild import open_workshop
from projections.worker import run
from read_model.database import read_table
from write_model.catalog.events import PriceRevised, ProductClassified
from write_model.message import Actor, Context, Recorded
from write_model.store.append import Decided, NewEvent, Submission
from write_model.store.log import Log
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store
from write_model.values.identifiers import ProductId
from write_model.values.quantity import UnitPrice

PRICES = read_table(
    "test_prices",
    Column("stream", Text, primary_key=True),
    Column("times", Integer, nullable=False, default=0),
    Column("positions", BigInteger, nullable=False, default=0),
)


class Prices(SqlProjection):
    name = "test_prices"
    version = 1
    tables = (PRICES,)

    @on(PriceRevised)
    def revised(self, batch: Batch, recorded: Recorded, fact: PriceRevised) -> None:
        batch.add(
            PRICES, key={"stream": str(fact.product_id)}, add={"times": 1, "positions": recorded.position}
        )


class PriceViews(RedisProjection):
    """The same in Redis: how often, and at the sum of which positions."""

    name = "test_price_views"
    version = 1
    twin = Prices.name

    @on(PriceRevised)
    def revised(self, batch: RedisBatch, recorded: Recorded, fact: PriceRevised) -> None:
        view, product = str(recorded.company_id), str(fact.product_id)
        batch.increment(view, f"{product} times", 1)
        batch.increment(view, f"{product} positions", recorded.position)


@asynccontextmanager
async def open_log(database_url: str, root: Path) -> AsyncIterator[Log]:
    log = await Log.open(database_url, KeyRing.create(root))
    try:
        yield log
    finally:
        await log.close()


class Shop:
    """Records price after price."""

    def __init__(self, store: Store, company_id: UUID) -> None:
        self._store = store
        self._company_id = company_id
        self._versions: dict[UUID, int] = {}
        self.revised = 0

    async def revise(self, count: int) -> None:
        """So many prices in one command; every seventh event is of another topic."""
        events = []
        before: dict[UUID, int] = {}
        for number in range(count):
            product = ProductId(uuid5(self._company_id, str(number % 50)))
            version = self._versions.get(product, 0) + 1
            before.setdefault(product, version - 1)
            self._versions[product] = version
            fact: PriceRevised | ProductClassified
            if number % 7 == 0:
                fact = ProductClassified(product_id=product, category="x")
            else:
                fact = PriceRevised(product_id=product, price=UnitPrice.parse("1.5"))
                self.revised += 1
            events.append(NewEvent(stream_id=product, version=version, event_id=uuid4(), event=fact))
        context = Context(
            company_id=self._company_id,
            actor=Actor("user", self._company_id),
            command_id=uuid4(),
            correlation_id=uuid4(),
            idempotency_key=uuid4().hex,
            body_hash=b"",
            effective_date=date(2026, 11, 23),
            today=date(2026, 11, 23),
        )
        decided = Decided(context=context, topic="test.revise", events=tuple(events), answer="{}")
        await self._store.append(
            Submission(company_id=self._company_id, commands=(decided,), expectations=before)
        )


async def main(what: str, database_url: str, redis_url: str, root: Path) -> None:
    """Fold, or rebuild, in small pages; to be killed."""
    if what == "work":
        await run(
            database_url,
            redis_url,
            lambda: open_log(database_url, root),
            projections=[Prices, PriceViews],
            owner=f"w{os.getpid()}",
            lease_seconds=1.0,
        )
    building.BUILD_EVENTS = 60
    async with (
        open_log(database_url, root) as log,
        open_workshop(database_url, redis_url, log, projections=[Prices]) as workshop,
    ):
        await workshop.rebuild("test_prices", jobs=1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])))
