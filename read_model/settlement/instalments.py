"""Instalments: what falls due when, what is still open of it, and what is overdue on a day."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Date,
    Index,
    Integer,
    Row,
    Text,
    Uuid,
    and_,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.parties.directory import TABLE as PARTIES
from read_model.row import Amount, Document, InstalmentId, PartyId, ReceivableId
from read_model.selection import ANY_DAY, Days, beyond, equal

TABLE = read_table(
    "settlement_instalments",
    Column("instalment_id", Uuid, primary_key=True),
    Column("receivable_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("party_id", Uuid, nullable=False),
    Column("document_kind", Text, nullable=False),
    Column("document_id", Uuid, nullable=False),
    Column("method", Text, nullable=False),
    Column("due_date", Date, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("open_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("last_paid_on", Date),
    Column("version", Integer, nullable=False),
    Index("settlement_instalments_due", "company_id", "due_date", "instalment_id"),
    Index("settlement_instalments_status", "company_id", "status", "due_date", "instalment_id"),
    Index("settlement_instalments_party", "company_id", "party_id", "due_date", "instalment_id"),
    Index("settlement_instalments_document", "company_id", "document_id"),
    Index("settlement_instalments_title", "company_id", "receivable_id"),
)
_ORDER = (TABLE.c.due_date, TABLE.c.instalment_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalmentRow:
    """One instalment. `status` is `open`, `overdue`, `settled` or `cancelled`.

    `version` is that of its title, which is what a settlement changes.
    """

    id: InstalmentId
    receivable_id: ReceivableId
    number: int
    count: int
    status: str
    party_id: PartyId
    party_name: str | None
    document: Document
    method: str
    due_date: date
    amount: Amount
    open_amount: Amount
    days_overdue: int
    last_paid_on: date | None
    version: int


async def instalments(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    today: date,
    statuses: Collection[str] = (),
    due_date: Days = ANY_DAY,
    party_id: UUID | None = None,
    document_id: UUID | None = None,
    receivable_id: UUID | None = None,
    instalment_id: UUID | None = None,
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[InstalmentRow]:
    """The instalments by due date, of any of these statuses; overdue from the day after it fell due."""
    wanted = (
        (TABLE.c.company_id, company_id),
        (TABLE.c.party_id, party_id),
        (TABLE.c.document_id, document_id),
        (TABLE.c.receivable_id, receivable_id),
        (TABLE.c.instalment_id, instalment_id),
    )
    party = (PARTIES.c.company_id == TABLE.c.company_id) & (PARTIES.c.party_id == TABLE.c.party_id)
    question = (
        select(TABLE, PARTIES.c.name.label("party_name"))
        .outerjoin(PARTIES, party)
        .where(
            *equal(*wanted),
            *_in_statuses(statuses, today),
            *due_date.within(TABLE.c.due_date),
            *beyond(_ORDER, after),
        )
    )
    found = await connection.execute(question.order_by(*_ORDER).limit(limit))
    return [_row(row, today) for row in found]


async def instalment(
    connection: AsyncConnection, company_id: UUID, instalment_id: UUID, *, today: date
) -> InstalmentRow | None:
    """One instalment, or None."""
    found = await instalments(connection, company_id, today=today, instalment_id=instalment_id, limit=1)
    return found[0] if found else None


def _in_statuses(statuses: Collection[str], today: date) -> list[ColumnElement[bool]]:
    """Any of these; no status at all asks for every instalment."""
    return [or_(*(_in_status(status, today) for status in statuses))] if statuses else []


def _in_status(status: str, today: date) -> ColumnElement[bool]:
    match status:
        case "overdue":
            return and_(TABLE.c.status == "open", TABLE.c.due_date < today)
        case "open":
            return and_(TABLE.c.status == "open", TABLE.c.due_date >= today)
        case _:
            return TABLE.c.status == status


def _row(row: Row[Any], today: date) -> InstalmentRow:
    days_overdue = max((today - row.due_date).days, 0) if row.status == "open" else 0
    return InstalmentRow(
        id=row.instalment_id,
        receivable_id=row.receivable_id,
        number=row.number,
        count=row._mapping["count"],  # row.count is the method of a tuple
        status="overdue" if days_overdue else row.status,
        party_id=row.party_id,
        party_name=row.party_name,
        document=Document(row.document_kind, row.document_id),
        method=row.method,
        due_date=row.due_date,
        amount=Amount(row.amount_minor, row.currency),
        open_amount=Amount(row.open_minor, row.currency),
        days_overdue=days_overdue,
        last_paid_on=row.last_paid_on,
        version=row.version,
    )
