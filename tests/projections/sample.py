"""A small bank to project: its events, a log of them in memory, and a few projections of each lane."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import ClassVar
from uuid import UUID, uuid5

from sqlalchemy import BigInteger, Column, Date, Index, Integer, Text, Uuid

from projections.batch import Batch, RedisBatch
from projections.projector import Reader, RedisProjection, SqlProjection, on
from read_model.database import read_table
from write_model.message import UNREAD, Event, Recorded

NAMESPACE = UUID("7c2a4f0e-6f0f-4f39-9d53-0b6a5a3c9f11")
PARTITIONS = 4
POISON = 666


# Not declared with `@event`: the registry is for events that are stored.


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposited(Event):
    topic: ClassVar[str] = "sample.deposited"
    account: UUID
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed(Event):
    topic: ClassVar[str] = "sample.renamed"
    account: UUID
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Event):
    topic: ClassVar[str] = "sample.closed"
    account: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """Means nothing to any projection here."""

    topic: ClassVar[str] = "sample.noted"


def company(number: int) -> UUID:
    return uuid5(NAMESPACE, f"company {number}")


def account(number: int) -> UUID:
    return uuid5(NAMESPACE, f"account {number}")


# --- the log ------------------------------------------------------------------------------------------


class FakeLog:
    """A log in memory. `trouble`, when set, runs before each page is read, and may raise."""

    epoch = 1
    installation = "sample"

    def __init__(self, partitions: int = PARTITIONS) -> None:
        self._events: dict[int, list[Recorded]] = {partition: [] for partition in range(partitions)}
        self._versions: dict[UUID, int] = {}
        self._moved = asyncio.Condition()
        self.trouble: Callable[[], Awaitable[None]] | None = None
        self.pages_read = 0

    async def append(self, company_number: int, *facts: Event) -> None:
        company_id = company(company_number)
        partition = company_number % len(self._events)
        for fact in facts:
            stream = uuid5(company_id, str(getattr(fact, "account", "notes")))
            version = self._versions[stream] = self._versions.get(stream, 0) + 1
            position = len(self._events[partition]) + 1
            self._events[partition].append(
                Recorded(
                    partition=partition,
                    position=position,
                    company_id=company_id,
                    stream_id=stream,
                    version=version,
                    topic=fact.topic,
                    schema_version=1,
                    event_id=uuid5(stream, str(version)),
                    effective_date=date(2026, 11, 23),
                    recorded_at=datetime.now(UTC),
                    actor_kind="user",
                    actor_id=NAMESPACE,
                    on_behalf_of=None,
                    command_id=NAMESPACE,
                    correlation_id=NAMESPACE,
                    causation_id=None,
                    channel="api",
                    reason=None,
                    event=fact,
                )
            )
        async with self._moved:
            self._moved.notify_all()

    def corrupt(self, partition: int, position: int, recorded: Recorded) -> None:
        self._events[partition][position - 1] = recorded

    def all(self, partition: int) -> list[Recorded]:
        return self._events[partition]

    async def page(
        self, partition: int, after: int, limit: int, kinds: Collection[type[Event]] | None = None
    ) -> list[Recorded]:
        if self.trouble is not None:
            await self.trouble()
        self.pages_read += 1
        return [
            recorded if kinds is None or type(recorded.event) in kinds else recorded._replace(event=UNREAD)
            for recorded in self._events[partition][after : after + limit]
        ]

    async def head(self, partition: int) -> int:
        return len(self._events[partition])

    async def heads(self) -> dict[int, int]:
        return {partition: len(events) for partition, events in self._events.items()}

    async def wait(self, partition: int, beyond: int, timeout_seconds: float) -> None:
        try:
            async with asyncio.timeout(timeout_seconds), self._moved:
                await self._moved.wait_for(lambda: len(self._events[partition]) > beyond)
        except TimeoutError:
            pass

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["FakeLog"]:
        yield self


async def fill(log: FakeLog, count: int, *, seed: int = 1, companies: int = 8, accounts: int = 20) -> None:
    """Random business, the same for the same seed."""
    dice = random.Random(seed)
    facts: dict[int, list[Event]] = {number: [] for number in range(companies)}
    for _ in range(count):
        which = account(dice.randrange(accounts))
        fact: Event
        match dice.randrange(10):
            case 0:
                fact = Renamed(account=which, name=f"name {dice.randrange(1000)}")
            case 1:
                fact = Closed(account=which)
            case 2:
                fact = Noted()
            case _:
                fact = Deposited(account=which, amount=dice.randrange(-500, 500))
        facts[dice.randrange(companies)].append(fact)
    for number, some in facts.items():
        await log.append(number, *some)


# --- projections --------------------------------------------------------------------------------------

BALANCES = read_table(
    "sample_balances",
    Column("account", Uuid, primary_key=True),
    Column("balance", BigInteger, nullable=False, default=0),
    Column("deposits", Integer, nullable=False, default=0),
    Column("name", Text),
    Index("sample_balances_by_balance", "company_id", "balance"),
)

DEPOSITS = read_table(
    "sample_deposits",
    Column("event_id", Uuid, primary_key=True),
    Column("account", Uuid, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("running", BigInteger, nullable=False),
    Column("day", Date, nullable=False),
)

RUNNING = read_table(
    "sample_running",
    Column("account", Uuid, primary_key=True),
    Column("running", BigInteger, nullable=False, default=0),
)


class Balances(SqlProjection):
    name = "sample_balances"
    version = 1
    tables = (BALANCES,)
    klass = "ledger"

    @on(Deposited)
    def deposited(self, batch: Batch, recorded: Recorded, fact: Deposited) -> None:
        batch.add(BALANCES, key={"account": fact.account}, add={"balance": fact.amount, "deposits": 1})

    @on(Renamed)
    def renamed(self, batch: Batch, recorded: Recorded, fact: Renamed) -> None:
        batch.patch(BALANCES, key={"account": fact.account}, set={"name": fact.name})

    @on(Closed)
    def closed(self, batch: Batch, recorded: Recorded, fact: Closed) -> None:
        batch.remove(BALANCES, key={"account": fact.account})


class Deposits(SqlProjection):
    """Needs prior rows: every line carries the running total behind it."""

    name = "sample_deposits"
    version = 1
    tables = (DEPOSITS, RUNNING)

    async def prepare(self, reader: Reader, page: Sequence[Recorded]) -> None:
        accounts = {recorded.event.account for recorded in page if isinstance(recorded.event, Deposited)}
        await reader.load(RUNNING, [{"account": account} for account in accounts])

    @on(Deposited)
    def deposited(self, batch: Batch, recorded: Recorded, fact: Deposited) -> None:
        before = batch.row(RUNNING, {"account": fact.account}) or {"running": 0}
        running = before["running"] + fact.amount
        batch.put(RUNNING, {"account": fact.account, "running": running})
        batch.put(
            DEPOSITS,
            {
                "event_id": recorded.event_id,
                "account": fact.account,
                "amount": fact.amount,
                "running": running,
                "day": recorded.effective_date,
            },
        )


class Picky(SqlProjection):
    """Cannot take one amount, until it is mended."""

    name = "sample_picky"
    version = 1
    tables = (read_table("sample_picky", Column("account", Uuid, primary_key=True), Column("n", Integer)),)
    mended = False
    attempts = 0

    @on(Deposited)
    def deposited(self, batch: Batch, recorded: Recorded, fact: Deposited) -> None:
        if fact.amount == POISON:
            type(self).attempts += 1
            if not self.mended:
                # What no column takes, and no line of a table.
                raise RuntimeError("cannot\0take\nthis\ud800")
        batch.add(self.tables[0], key={"account": fact.account}, add={"n": 1})


class BalanceViews(RedisProjection):
    """The Redis twin of Balances: one hash per company, one field per account."""

    name = "sample_balance_views"
    version = 1
    twin = Balances.name

    @on(Deposited)
    def deposited(self, batch: RedisBatch, recorded: Recorded, fact: Deposited) -> None:
        batch.increment(str(recorded.company_id), str(fact.account), fact.amount)

    @on(Closed)
    def closed(self, batch: RedisBatch, recorded: Recorded, fact: Closed) -> None:
        batch.discard(str(recorded.company_id), str(fact.account))


# --- what must be true --------------------------------------------------------------------------------


def expected_balances(log: FakeLog) -> dict[tuple[UUID, UUID], tuple[int, int, str | None]]:
    """The naive fold, event by event."""
    found: dict[tuple[UUID, UUID], tuple[int, int, str | None]] = {}
    for partition in range(PARTITIONS):
        for recorded in log.all(partition):
            fact = recorded.event
            if isinstance(fact, Deposited):
                place = (recorded.company_id, fact.account)
                balance, deposits, name = found.get(place, (0, 0, None))
                found[place] = (balance + fact.amount, deposits + 1, name)
            elif isinstance(fact, Renamed) and (recorded.company_id, fact.account) in found:
                balance, deposits, _ = found[recorded.company_id, fact.account]
                found[recorded.company_id, fact.account] = (balance, deposits, fact.name)
            elif isinstance(fact, Closed):
                found.pop((recorded.company_id, fact.account), None)
    return found
