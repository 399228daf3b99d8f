"""The webhooks of a company: where, what, whether, and which secrets sign."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Integer, Row, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.row import WebhookId
from read_model.selection import beyond

TABLE = read_table(
    "webhooks_endpoints",
    Column("webhook_id", Uuid, primary_key=True),
    Column("url", Text, nullable=False),
    # With a space between them: no filter has one.
    Column("topics", Text, nullable=False),
    Column("description", Text),
    Column("status", Text, nullable=False),
    Column("status_reason", Text),
    Column("status_set_by", Text, nullable=False),
    Column("active_since", BigInteger, nullable=False),
    Column("secret_id", Uuid, nullable=False),
    Column("previous_secret_id", Uuid),
    Column("rotated_at", DateTime(timezone=True)),
    Column("registered_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
_ORDER = (TABLE.c.webhook_id,)

EVERYTHING = "*"

OVERLAP = timedelta(hours=24)
"""How long the secret that was replaced signs as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRow:
    """One webhook. `status` is `enabled` or `disabled`; `status_set_by` is `system` when we disabled it."""

    id: WebhookId
    url: str
    topics: tuple[str, ...]
    description: str | None
    status: str
    status_reason: str | None
    status_set_by: str
    previous_secret_until: datetime | None
    registered_at: datetime
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One webhook, as whoever delivers to it needs it."""

    id: UUID
    url: str
    topics: tuple[str, ...]
    is_enabled: bool
    active_since: int
    secret_id: UUID
    previous_secret_id: UUID | None
    rotated_at: datetime | None

    def wants(self, topic: str, position: int, *, technical: bool = False) -> bool:
        """Whether it is to be told of this. What is technical hears who names it or its context."""
        if not self.is_enabled or position <= self.active_since:
            return False
        return any(
            fnmatchcase(topic, wanted) for wanted in self.topics if not (technical and wanted == EVERYTHING)
        )

    def secret_ids(self, now: datetime) -> tuple[UUID, ...]:
        """Which secrets sign at this moment, the present one first."""
        is_overlap = self.rotated_at is not None and now < self.rotated_at + OVERLAP
        if self.previous_secret_id is not None and is_overlap:
            return self.secret_id, self.previous_secret_id
        return (self.secret_id,)


async def webhooks(
    connection: AsyncConnection, company_id: UUID, *, after: tuple[Any, ...] | None = None, limit: int
) -> Sequence[WebhookRow]:
    """The webhooks in the order they were registered."""
    question = select(TABLE).where(TABLE.c.company_id == company_id, *beyond(_ORDER, after))
    return [_row(row) for row in await connection.execute(question.order_by(*_ORDER).limit(limit))]


async def webhook(connection: AsyncConnection, company_id: UUID, webhook_id: UUID) -> WebhookRow | None:
    """One webhook, or None."""
    question = select(TABLE).where(TABLE.c.company_id == company_id, TABLE.c.webhook_id == webhook_id)
    row = (await connection.execute(question)).one_or_none()
    return None if row is None else _row(row)


def _row(row: Row[Any]) -> WebhookRow:
    return WebhookRow(
        id=row.webhook_id,
        url=row.url,
        topics=tuple(row.topics.split(" ")),
        description=row.description,
        status=row.status,
        status_reason=row.status_reason,
        status_set_by=row.status_set_by,
        previous_secret_until=None if row.rotated_at is None else row.rotated_at + OVERLAP,
        registered_at=row.registered_at,
        version=row.version,
    )


ENDPOINT_COLUMNS = """
webhook_id, url, topics, status, active_since, secret_id, previous_secret_id, rotated_at
"""
"""Of the view `read.webhooks_endpoints`: whoever delivers reads many companies with one statement."""


def endpoint_of(row: Sequence[Any]) -> Endpoint:
    """A row of these columns."""
    webhook_id, url, topics, status, active_since, secret_id, previous_secret_id, rotated_at = row
    return Endpoint(
        id=webhook_id,
        url=url,
        topics=tuple(topics.split(" ")),
        is_enabled=status == "enabled",
        active_since=active_since,
        secret_id=secret_id,
        previous_secret_id=previous_secret_id,
        rotated_at=rotated_at,
    )
