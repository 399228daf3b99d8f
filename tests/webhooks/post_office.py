"""Webhooks of a company, the queue of deliveries, and couriers, over one database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, cast
from uuid import UUID, uuid4

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from integration.bookkeeping import ensure
from integration.event import IntegrationEvent, told
from integration.webhooks.calling import Caller
from integration.webhooks.courier import Courier, Surroundings
from integration.webhooks.fan_out import FanOut
from projections.connections import Connection, connect, open_pool
from projections.lane import Fence, Follower
from projections.roster import Catalogue
from projections.sql_lane import SqlLane
from projections.webhooks.endpoints import WebhooksEndpoints
from tests.scenario import recorded
from tests.webhooks.receiver import NAME, Receiver, authority, resolving
from write_model.message import Actor, Context, Event
from write_model.sales.events import SaleConfirmed
from write_model.webhooks.events import WebhookRegistered

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
_OWNER = "tests"
Pool = AsyncConnectionPool[Connection]


def secret_of(company_id: UUID, webhook_id: UUID, secret_id: UUID) -> bytes:
    """A secret, as these tests have them."""
    return sha256(f"{company_id}/{webhook_id}/{secret_id}".encode()).digest()


@dataclass
class PostOffice:
    """One company's; its clock stands still until a test moves it."""

    pool: Pool
    lane: SqlLane
    followers: list[Follower]
    company_id: UUID = field(default_factory=uuid4)
    now: datetime = NOW
    position: int = 0
    versions: dict[UUID, int] = field(default_factory=dict)
    disabled: list[tuple[UUID, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fan_out = FanOut(self.pool, lambda: self.now, lambda: None)

    async def happened(
        self, fact: Event, *, stream: UUID | None = None, folded: bool = True
    ) -> IntegrationEvent:
        """Record a fact, have it folded, and tell it to nobody yet."""
        stream = stream or getattr(fact, "webhook_id", None) or uuid4()
        self.position += 1
        self.versions[stream] = self.versions.get(stream, 0) + 1
        context = Context(
            company_id=self.company_id,
            actor=Actor("user", uuid4()),
            command_id=uuid4(),
            correlation_id=uuid4(),
            idempotency_key=str(uuid4()),
            body_hash=b"",
            effective_date=self.now.date(),
            today=self.now.date(),
        )
        item = recorded(fact, context, stream, self.versions[stream], self.position)
        item = item._replace(recorded_at=self.now)
        if folded:
            for follower in self.followers:
                await self.lane.apply(follower, [item], at_head=True)
        return told(item)

    async def register(self, receiver: Receiver, *topics: str, name: str = NAME) -> UUID:
        """A webhook for this receiver."""
        webhook_id = uuid4()
        fact = WebhookRegistered(
            webhook_id=cast("Any", webhook_id),
            url=f"https://{name}:{receiver.port}/ganchos",
            topics=topics or ("sales.*",),
            description=None,
            secret_id=uuid4(),
        )
        await self.happened(fact)
        return webhook_id

    async def sale(self, *, folded: bool = True) -> IntegrationEvent:
        """Something that is told."""
        return await self.happened(a_sale(), folded=folded)

    async def told_sale(self) -> IntegrationEvent:
        """A sale that came from the broker."""
        event = await self.sale()
        await self.fan_out(event)
        return event

    def courier(self, owner: str = "courier", *, seconds: float = 3, **changes: Any) -> Courier:
        """A courier for whom every name is this machine."""
        return Courier(self.surroundings(owner, seconds=seconds, **changes))

    def surroundings(self, owner: str = "courier", *, seconds: float = 3, **changes: Any) -> Surroundings:
        given: dict[str, Any] = {
            "pool": self.pool,
            "caller": Caller(
                resolve=resolving(["127.0.0.1"]), trust=authority().trust(), total_seconds=seconds, threads=2
            ),
            "secret_of": secret_of,
            "disable": self._disable,
            "clock": lambda: self.now,
            "jitter": lambda: 1.0,
            "owner": owner,
        }
        return Surroundings(**given | changes)

    async def deliver(self, courier: Courier | None = None) -> int:
        """Everything that is due at this moment; returns how many attempts that were."""
        courier, count = courier or self.courier(), 0
        while True:
            async with asyncio.TaskGroup() as tasks:
                taken = await courier.look(tasks)
            count += taken
            if not taken:
                return count

    async def until_next_try(self) -> timedelta:
        """Let the time pass until something is due; returns how much passed."""
        ((due,),) = await self.rows(
            "SELECT min(due_at) FROM integration.webhook_deliveries WHERE state = 'pending'"
        )
        passed: timedelta = due - self.now
        self.now = due
        return passed

    async def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database."""
        async with self.pool.connection() as connection:
            return await (await connection.execute(query.encode(), values)).fetchall()

    async def run(self, statement: str) -> None:
        """Change the database."""
        async with self.pool.connection() as connection:
            await connection.execute(statement.encode())

    async def deliveries(self) -> list[dict[str, Any]]:
        """All there are, in the order of events."""
        async with self.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                'SELECT * FROM integration.webhook_deliveries ORDER BY "position", webhook_id'
            )
            return await cursor.fetchall()

    async def states(self) -> list[str]:
        """Their states."""
        return [row["state"] for row in await self.deliveries()]

    async def attempts(self) -> list[tuple[Any, ...]]:
        """Number, status and error of every attempt."""
        return await self.rows(
            "SELECT number, status, error FROM integration.webhook_attempts ORDER BY delivery_id, number"
        )

    async def _disable(self, company_id: UUID, webhook_id: UUID, reason: str) -> None:
        self.disabled.append((webhook_id, reason))


def a_sale() -> SaleConfirmed:
    """The fact itself."""
    from tests.history.sampling import sample_of

    made: SaleConfirmed = sample_of(SaleConfirmed)
    return made


async def furnish(database_url: str) -> None:
    """The tables of deliveries, and the projection of webhooks."""
    await ensure(database_url)
    async with await connect(database_url) as connection:
        await Catalogue((WebhooksEndpoints,)).register(connection, [0])
        await connection.execute(
            "INSERT INTO read.leases (partition, lane, owner, epoch) VALUES (0, 'sql', %s, 1)", (_OWNER,)
        )


@asynccontextmanager
async def open_post_office(database_url: str) -> AsyncIterator[PostOffice]:
    """In a furnished database, of which the deliveries of others are thrown away."""
    async with open_pool(database_url, size=8) as pool:
        async with await connect(database_url) as connection:
            for table in (
                "webhook_attempts",
                "webhook_deliveries",
                "webhook_health",
                "webhook_queues",
                "webhook_outcomes",
            ):
                await connection.execute(f"DELETE FROM integration.{table}")  # noqa: S608
            found = await connection.execute("SELECT max(position) FROM read.checkpoints")
            ((position,),) = await found.fetchall()
        lane = SqlLane(pool)
        fence = Fence("sql", 0, _OWNER, 1)
        folders = Catalogue((WebhooksEndpoints,)).folders.values()
        followers = [Follower(folder, 1, 0, fence) for folder in folders]
        await lane.locate(followers, 0)
        yield PostOffice(pool, lane, followers, position=position)
