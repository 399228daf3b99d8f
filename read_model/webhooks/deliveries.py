"""What was told to webhooks, try by try. Kept by whoever delivers, for thirty days; not a fold of the log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Row, Table, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.row import EventId, WebhookDeliveryId, WebhookId
from read_model.selection import beyond, equal

_METADATA = MetaData(schema="integration")
DELIVERIES = Table(
    "webhook_deliveries",
    _METADATA,
    Column("company_id", Uuid),
    Column("delivery_id", Uuid),
    Column("webhook_id", Uuid),
    Column("event_id", Uuid),
    Column("topic", Text),
    Column("position", BigInteger),
    Column("state", Text),
    Column("reason", Text),
    Column("tries", Integer),
    Column("attempts", Integer),
    Column("created_at", DateTime(timezone=True)),
    Column("due_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
)
ATTEMPTS = Table(
    "webhook_attempts",
    _METADATA,
    Column("company_id", Uuid),
    Column("delivery_id", Uuid),
    Column("number", Integer),
    Column("started_at", DateTime(timezone=True)),
    Column("milliseconds", Integer),
    Column("status", Integer),
    Column("error", Text),
    Column("snippet", Text),
)
_ORDER = (DELIVERIES.c.created_at, DELIVERIES.c.delivery_id)

STATES = frozenset({"pending", "delivered", "failed", "dropped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One event for one webhook. `reason` is why the last try failed, or why there was none."""

    id: WebhookDeliveryId
    webhook_id: WebhookId
    event_id: EventId
    topic: str
    position: int
    state: str
    reason: str | None
    tries: int
    attempts: int
    created_at: datetime
    next_try_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One call. Without a status there was no answer, and `error` says why; `snippet` is how one began."""

    number: int
    started_at: datetime
    milliseconds: int
    status: int | None
    error: str | None
    snippet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLog:
    """One delivery and every try that somebody lived to write down."""

    delivery: DeliveryRow
    log: tuple[AttemptRow, ...]


async def webhook_deliveries(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    webhook_id: UUID | None = None,
    event_id: UUID | None = None,
    topic: str | None = None,
    states: Sequence[str] = (),
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[DeliveryRow]:
    """The newest first."""
    wanted = equal(
        (DELIVERIES.c.company_id, company_id),
        (DELIVERIES.c.webhook_id, webhook_id),
        (DELIVERIES.c.event_id, event_id),
        (DELIVERIES.c.topic, topic),
    )
    if states:
        wanted.append(DELIVERIES.c.state.in_(states))
    question = select(DELIVERIES).where(*wanted, *beyond(_ORDER, after, descending=True))
    newest = [column.desc() for column in _ORDER]
    return [_row(row) for row in await connection.execute(question.order_by(*newest).limit(limit))]


async def webhook_delivery(
    connection: AsyncConnection, company_id: UUID, delivery_id: UUID
) -> DeliveryLog | None:
    """One delivery with its tries, or None."""
    wanted = (DELIVERIES.c.company_id == company_id, DELIVERIES.c.delivery_id == delivery_id)
    row = (await connection.execute(select(DELIVERIES).where(*wanted))).one_or_none()
    if row is None:
        return None
    tries = select(ATTEMPTS).where(ATTEMPTS.c.company_id == company_id, ATTEMPTS.c.delivery_id == delivery_id)
    log = [
        AttemptRow(
            number=each.number,
            started_at=each.started_at,
            milliseconds=each.milliseconds,
            status=each.status,
            error=each.error,
            snippet=each.snippet,
        )
        for each in await connection.execute(tries.order_by(ATTEMPTS.c.number))
    ]
    return DeliveryLog(delivery=_row(row), log=tuple(log))


async def webhooks_of(
    connection: AsyncConnection, company_id: UUID, delivery_ids: Sequence[UUID]
) -> dict[UUID, UUID]:
    """The webhook of each of these deliveries; of those there are."""
    question = select(DELIVERIES.c.delivery_id, DELIVERIES.c.webhook_id).where(
        DELIVERIES.c.company_id == company_id, DELIVERIES.c.delivery_id.in_(delivery_ids)
    )
    return {row.delivery_id: row.webhook_id for row in await connection.execute(question)}


def _row(row: Row[Any]) -> DeliveryRow:
    return DeliveryRow(
        id=row.delivery_id,
        webhook_id=row.webhook_id,
        event_id=row.event_id,
        topic=row.topic,
        position=row.position,
        state=row.state,
        reason=row.reason,
        tries=row.tries,
        attempts=row.attempts,
        created_at=row.created_at,
        next_try_at=row.due_at if row.state == "pending" else None,
        ended_at=row.ended_at,
    )
