"""Given events, then rows: folds what a company recorded through the real lanes, and asks the questions.

books.fold(company)
books.ask(sales, limit=10)
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy import select

from projections.bookkeeping import ensure
from projections.catalogue import PROJECTIONS
from projections.connections import connect, open_pool
from projections.generations import tables_of
from projections.lane import Fence, Follower, Lane
from projections.redis_lane import RedisLane
from projections.roster import Catalogue
from projections.sql_lane import SqlLane
from read_model.cache import Keys, Views
from read_model.database import open_engine, reading
from tests.scenario import Company
from write_model.message import Recorded

A = TypeVar("A")

EPOCH = 1
PARTITION = 0
FIRST_MOMENT = datetime(2026, 11, 1, 12, tzinfo=UTC)
_OWNER = "tests"


def moment(position: int) -> datetime:
    """When the event at this position was recorded: one a minute."""
    return FIRST_MOMENT + timedelta(minutes=position)


class Books:
    """Every projection of the catalogue over one database and one Redis."""

    def __init__(
        self, database_url: str, redis_url: str, *, epoch: int = EPOCH, partition: int = PARTITION
    ) -> None:
        self._keys = Keys("books", epoch)
        self._partition = partition
        self.database_url = database_url
        self.redis_url = redis_url
        self._followers: dict[str, list[Follower]] = {}
        self._runner = asyncio.Runner()
        self._folded: dict[UUID, int] = {}
        self.head = 0
        self.start = 0
        self._company_id = UUID(int=0)

    def __enter__(self) -> "Books":
        self._runner.run(self._open())
        return self

    def __exit__(self, *error: object) -> None:
        self._runner.run(self._close())
        self._runner.close()

    def fold(self, company: Company, *, page: int = 1000) -> None:
        """Fold what is new in the company's log, behind all that was folded, so many events at a time."""
        self.fold_events(self.new(company), page=page)

    def new(self, company: Company) -> list[Recorded]:
        """What is new in the company's log, placed behind all that was folded."""
        self._company_id = company.id
        new = company.store.log[self._folded.get(company.id, 0) :]
        self._folded[company.id] = len(company.store.log)
        return [
            item._replace(position=position, recorded_at=moment(position))
            for position, item in enumerate(new, start=self.head + 1)
        ]

    def fold_events(self, log: Sequence[Recorded], *, page: int = 1000) -> None:
        """Fold these events, whose positions follow the head."""
        for start in range(0, len(log), page):
            self.run(self._apply(log[start : start + page]))
        self.head += len(log)

    def fresh(self) -> "Books":
        """Begin a test: what other tests folded is of other companies, and before `start`."""
        self.start = self.head
        self._folded.clear()
        return self

    def at(self, position: int) -> int:
        """Where the n-th event of this test stands in the log."""
        return self.start + position

    def run(self, work: Coroutine[Any, Any, A]) -> A:
        """Run something where the connections live."""
        return self._runner.run(work)

    def of(self, company_id: UUID) -> "Books":
        """Ask about this company from now on."""
        self._company_id = company_id
        return self

    def ask(self, question: Callable[..., Awaitable[A]], *arguments: Any, **filters: Any) -> A:
        """Ask one of the read model's questions about the company folded last."""

        async def asked() -> A:
            async with reading(self.engine, self._company_id) as connection:
                return await question(connection, self._company_id, *arguments, **filters)

        return self.run(asked())

    def ask_redis(self, question: Callable[..., Awaitable[A]], *arguments: Any) -> A:
        """The same of Redis, which must know all that was folded."""

        async def asked() -> A:
            return await question(
                self.views(), self._partition, self._company_id, *arguments, at_least=self.head
            )

        return self.run(asked())

    def views(self) -> Views:
        """The Redis views of what was folded; patient, because the machine may be busy."""
        return Views(self._client, self._keys, patience_seconds=5)

    def rows(self) -> dict[str, list[str]]:
        """Every row of every table, as text and in the order of their keys, of the company folded last."""
        return self.run(self._rows())

    async def _rows(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        async with reading(self.engine, self._company_id) as connection:
            for kind in PROJECTIONS:
                for table in tables_of(kind):
                    key = [column.name for column in table.primary_key.columns]
                    rows = await connection.execute(select(table).order_by(*(table.c[name] for name in key)))
                    found[table.name] = [repr(tuple(row)) for row in rows]
        return found

    async def _open(self) -> None:
        await ensure(self.database_url)
        catalogue = Catalogue(PROJECTIONS)
        connection = await connect(self.database_url)
        async with connection:
            await catalogue.register(connection, [self._partition])
            for lane in ("sql", "redis"):
                await connection.execute(
                    "INSERT INTO read.leases (partition, lane, owner, epoch) VALUES (%s, %s, %s, 1)",
                    (self._partition, lane, _OWNER),
                )
        self._pool = open_pool(self.database_url, size=2)
        await self._pool.open()
        self._client: Redis = Redis.from_url(self.redis_url)
        self.engine = open_engine(self.database_url, pool_size=1)
        self._lanes: dict[str, Lane] = {
            "sql": SqlLane(self._pool),
            "redis": RedisLane(self._client, self._pool, self._keys),
        }
        for name, folder in catalogue.folders.items():
            lane = catalogue.kinds[name].lane
            fence = Fence(lane, self._partition, _OWNER, 1)
            self._followers.setdefault(lane, []).append(Follower(folder, 1, self._partition, fence))
        for name, lane_ in self._lanes.items():
            await lane_.locate(self._followers[name], 0)

    async def _apply(self, events: Sequence[Recorded]) -> None:
        for name in self._lanes:
            await self.apply_in(name, events)

    async def apply_in(self, name: str, events: Sequence[Recorded]) -> None:
        """Fold these in one lane; between two lanes somebody may look."""
        for follower in self._followers[name]:
            await self._lanes[name].apply(follower, events, at_head=True)

    async def _close(self) -> None:
        await self.engine.dispose()
        await self._client.aclose()
        await self._pool.close()
