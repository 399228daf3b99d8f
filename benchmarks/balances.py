"""Who brings a table of balances up to a log: a row per product with what was received of it, exactly once.

All fold the same facts, receipts of a hundred products over and over; each from its own log, from nothing to
the end. What must come out is known beforehand, and everybody's table is compared with it after every turn.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import BigInteger, Column, Uuid

from benchmarks.goods import ACTOR, FACTS
from benchmarks.harness import Sample
from benchmarks.servers import parts_of
from projections import bookkeeping, worker
from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.database import read_table
from write_model.message import Actor, Context, Recorded
from write_model.stock.events import StockReceived
from write_model.store.append import Appended, Decided, NewEvent, Submission
from write_model.store.log import Log
from write_model.store.migrations import upgrade
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

_SUBMISSION_EVENTS = 1000
_COMPANIES = 16
_PAGE = 2000
PRODUCTS = 100

TABLE = read_table(
    "benchmark_balances",
    Column("product_id", Uuid, primary_key=True),
    Column("value_minor", BigInteger, nullable=False, default=0),
)


class Balances(SqlProjection):
    """The projection that is measured: written as any other."""

    name = "benchmark_balances"
    version = 1
    tables = (TABLE,)

    @on(StockReceived)
    def received(self, batch: Batch, recorded: Recorded, fact: StockReceived) -> None:
        """Add what came in."""
        batch.add(TABLE, key={"product_id": fact.product_id}, add={"value_minor": fact.value.minor})


class BalancePeer(Protocol):
    """Brings its balances from nothing to the end of its log."""

    name: str
    version: str
    does: str
    events: int

    async def catch_up(self) -> Sample:
        """The whole log once, from the start of whoever follows it to the last checkpoint."""
        ...

    async def balances(self) -> Mapping[UUID, int]:
        """What stands in the table."""
        ...


def fact_of(number: int) -> StockReceived:
    """The same few products come again and again, as accounts do."""
    return FACTS[number % PRODUCTS]


def expected(events: int) -> dict[UUID, int]:
    """What must come out of so many facts."""
    amounts: Counter[UUID] = Counter()
    for number in range(events):
        fact = fact_of(number)
        amounts[fact.product_id] += fact.value.minor
    return dict(amounts)


@contextmanager
def timed(events: int) -> Iterator[list[Sample]]:
    """One sample of what is done inside."""
    taken: list[Sample] = []
    begun = time.perf_counter()
    yield taken
    seconds = time.perf_counter() - begun
    taken.append(Sample(events, seconds, [seconds]))


# --- ours, and what a hand-written consumer makes of the same log ---------------------------------------


async def write_log(url: str, key: Path, events: int) -> None:
    """The log of the next two."""
    upgrade(url)
    await bookkeeping.ensure(url)
    store = await Store.open(url, KeyRing.create(key), uuid4)
    companies = [uuid4() for _ in range(_COMPANIES)]
    versions = dict.fromkeys(companies, 0)
    for first in range(0, events, _SUBMISSION_EVENTS):
        company_id = companies[first // _SUBMISSION_EVENTS % _COMPANIES]
        before = versions[company_id]
        new = [
            NewEvent(
                stream_id=company_id,
                version=before + number + 1,
                event_id=uuid4(),
                event=fact_of(first + number),
            )
            for number in range(min(_SUBMISSION_EVENTS, events - first))
        ]
        versions[company_id] += len(new)
        decided = Decided(context=_context(company_id), topic="benchmark", events=tuple(new), answer="{}")
        verdict = await store.append(
            Submission(company_id=company_id, commands=(decided,), expectations={company_id: before})
        )
        assert isinstance(verdict, Appended)
    await store.close()


def _context(company_id: UUID) -> Context:
    today = date(2026, 11, 23)
    return Context(
        company_id=company_id,
        actor=Actor("user", ACTOR),
        command_id=uuid4(),
        correlation_id=uuid4(),
        idempotency_key=uuid4().hex,
        body_hash=b"",
        effective_date=today,
        today=today,
    )


@asynccontextmanager
async def _open_log(url: str, key: Path) -> AsyncIterator[Log]:
    log = await Log.open(url, KeyRing.create(key))
    try:
        yield log
    finally:
        await log.close()


class Ccontrol:
    """A projection worker of the product."""

    name = "ccontrol"
    version = ""
    does = "the worker as it runs in production: leases, fencing, order checked, rows and checkpoint together"

    def __init__(self, url: str, redis_url: str, key: Path, events: int) -> None:
        self._url, self._redis_url, self._key = url, redis_url, key
        self.events = events

    async def catch_up(self) -> Sample:
        await self._start_over()
        with timed(self.events) as taken:
            task = asyncio.create_task(
                worker.run(
                    self._url,
                    self._redis_url,
                    partial(_open_log, self._url, self._key),
                    projections=[Balances],
                )
            )
            async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as watching:
                while not await self._caught_up(watching):  # noqa: ASYNC110  # the database sets no event
                    await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return taken[0]

    async def balances(self) -> Mapping[UUID, int]:
        return await _sums(self._url, "SELECT product_id, value_minor FROM read.benchmark_balances_g1")

    async def _start_over(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            found = await connection.execute("SELECT to_regclass('read.benchmark_balances_g1') IS NOT NULL")
            if await found.fetchone() == (True,):
                await connection.execute("TRUNCATE read.benchmark_balances_g1")
                await connection.execute("UPDATE read.checkpoints SET position = 0")

    async def _caught_up(self, watching: psycopg.AsyncConnection[Any]) -> bool:
        found = await watching.execute("SELECT coalesce(sum(position), 0) FROM read.checkpoints")
        return await found.fetchone() == (self.events,)


_BARE_READ = """
SELECT position, company_id, (data::json ->> 'product_id')::uuid, (data::json #>> '{value,minor}')::bigint
    FROM ccontrol.events WHERE partition = %s ORDER BY position
"""
_BARE_WRITE = """
INSERT INTO bare_balances SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[])
    ON CONFLICT (company_id, product_id) DO UPDATE
    SET value_minor = bare_balances.value_minor + EXCLUDED.value_minor
"""


class Bare:
    """As little as one can write."""

    name = "bare psycopg"
    version = psycopg.__version__
    does = "a server-side cursor over three values an event, a dict, an upsert and a checkpoint per page"

    def __init__(self, url: str, events: int) -> None:
        self._url = url
        self.events = events
        with psycopg.connect(url) as connection:
            connection.execute(
                "CREATE TABLE bare_balances (company_id uuid, product_id uuid, value_minor bigint, "
                "PRIMARY KEY (company_id, product_id))"
            )
            connection.execute("CREATE TABLE bare_checkpoints (partition int PRIMARY KEY, position bigint)")

    async def catch_up(self) -> Sample:
        return await asyncio.to_thread(self._catch_up)

    def _catch_up(self) -> Sample:
        # The cursor lives in a transaction of its own, so that every page can be committed.
        with psycopg.connect(self._url) as log, psycopg.connect(self._url) as connection:
            connection.execute("TRUNCATE bare_balances, bare_checkpoints")
            connection.commit()
            with timed(self.events) as taken:
                for (partition,) in log.execute("SELECT partition FROM ccontrol.partition_heads").fetchall():
                    self._fold(log, connection, partition)
        return taken[0]

    def _fold(
        self, log: psycopg.Connection[Any], connection: psycopg.Connection[Any], partition: int
    ) -> None:
        with log.cursor(name="log", binary=True) as cursor:
            cursor.execute(_BARE_READ, (partition,))
            while page := cursor.fetchmany(_PAGE):
                amounts: dict[tuple[UUID, UUID], int] = {}
                for _, company, product, minor in page:
                    amounts[company, product] = amounts.get((company, product), 0) + minor
                companies, products = zip(*amounts, strict=True)
                connection.execute(_BARE_WRITE, (list(companies), list(products), list(amounts.values())))
                connection.execute(
                    "INSERT INTO bare_checkpoints VALUES (%s, %s) "
                    "ON CONFLICT (partition) DO UPDATE SET position = EXCLUDED.position",
                    (partition, page[-1][0]),
                )
                connection.commit()

    async def balances(self) -> Mapping[UUID, int]:
        return await _sums(self._url, "SELECT product_id, value_minor FROM bare_balances")


async def _sums(url: str, query: str) -> dict[UUID, int]:
    """By product, over all companies."""
    amounts: Counter[UUID] = Counter()
    async with await psycopg.AsyncConnection.connect(url) as connection:
        for product, minor in await (await connection.execute(query.encode())).fetchall():
            amounts[product] += int(minor)
    return dict(amounts)


# --- peers ----------------------------------------------------------------------------------------------


class EventsourcingRunner:
    """The library `eventsourcing`: its ProjectionRunner, an event a transaction."""

    name = "eventsourcing"
    version = version("eventsourcing")
    does = "its ProjectionRunner over a tracking recorder: the balance and the tracking in one transaction"

    def __init__(self, url: str, events: int) -> None:
        self.events = events
        self._url = url
        self._environment = {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            **{
                f"POSTGRES_{name.upper()}": value
                for name, value in parts_of(url).items()
                if name in ("dbname", "host", "port", "user", "password")
            },
        }

    async def open(self) -> None:
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        # Its persistence module changes `dataclasses` for the whole process: not before it is needed.
        from benchmarks.peers.eventsourcing_projection import write_log

        write_log(self._environment, self.events)

    async def catch_up(self) -> Sample:
        return await asyncio.to_thread(self._catch_up)

    def _catch_up(self) -> Sample:
        from benchmarks.peers.eventsourcing_projection import catch_up

        with psycopg.connect(self._url) as connection:
            for table in ("balances", "balances_tracking"):
                connection.execute(f"DROP TABLE IF EXISTS {table}".encode())
        with timed(self.events) as taken:
            catch_up(self._environment, self.events)
        return taken[0]

    async def balances(self) -> Mapping[UUID, int]:
        return await _sums(self._url, "SELECT product_id, value_minor FROM balances")
