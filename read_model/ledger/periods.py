"""Accounting periods: the months with postings, and which of them are closed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Row, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.row import EventId

TABLE = read_table(
    "ledger_periods",
    Column("period", Text, primary_key=True),
    Column("entries", BigInteger, nullable=False, default=0),
    Column("closed", Boolean, nullable=False, default=False),
    Column("changed_at", DateTime(timezone=True)),
    Column("changed_on", Date),
    Column("changed_by", Uuid),
    Column("reason", Text),
    Column("event_id", Uuid),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodRow:
    """One month. Closing a month closes every month before it; `event_id` closed or reopened this one."""

    period: str
    status: str
    entries: int
    changed_at: datetime | None
    changed_on: date | None
    changed_by: UUID | None
    reason: str | None
    event_id: EventId | None


async def periods(connection: AsyncConnection, company_id: UUID) -> Sequence[PeriodRow]:
    """Every month the books know, the latest first."""
    found = (await connection.execute(select(TABLE).where(TABLE.c.company_id == company_id))).all()
    # Months close in order and reopen from the last, so the last one closed says it for all before.
    closed_through = max((row.period for row in found if row.closed), default="")
    rows = [_row(row, row.period <= closed_through) for row in found]
    return sorted(rows, key=lambda row: row.period, reverse=True)


def _row(row: Row[Any], closed: bool) -> PeriodRow:
    return PeriodRow(
        period=row.period,
        status="closed" if closed else "open",
        entries=row.entries,
        changed_at=row.changed_at,
        changed_on=row.changed_on,
        changed_by=row.changed_by,
        reason=row.reason,
        event_id=row.event_id,
    )
