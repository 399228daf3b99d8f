"""Receivables: the titles customers owe us, each with its instalments and what was paid of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, Index, Integer, Numeric, Row, Select, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.parties.directory import TABLE as PARTIES
from read_model.row import Amount, Document, PartyId, ReceivableId
from read_model.selection import ANY_DAY, Days, beyond, equal
from read_model.settlement.instalments import InstalmentRow, instalments
from read_model.settlement.settlements import SettlementRow, settlements

TABLE = read_table(
    "settlement_receivables",
    Column("receivable_id", Uuid, primary_key=True),
    Column("party_id", Uuid, nullable=False),
    Column("document_kind", Text, nullable=False),
    Column("document_id", Uuid, nullable=False),
    Column("created_on", Date, nullable=False),
    Column("cancelled_on", Date),
    Column("total_minor", BigInteger, nullable=False),
    Column("open_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("instalment_count", Integer, nullable=False),
    Column("fine_pct", Numeric(9, 4), nullable=False),
    Column("interest_pct_month", Numeric(9, 4), nullable=False),
    Column("day_basis", Integer, nullable=False),
    Column("grace_days", Integer, nullable=False),
    Column("rounding", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Index("settlement_receivables_created", "company_id", "created_on", "receivable_id"),
    Index("settlement_receivables_party", "company_id", "party_id", "created_on", "receivable_id"),
    Index("settlement_receivables_document", "company_id", "document_id"),
)
_ORDER = (TABLE.c.created_on, TABLE.c.receivable_id)
_STATUS = {
    "open": TABLE.c.cancelled_on.is_(None) & (TABLE.c.open_minor != 0),
    "settled": TABLE.c.cancelled_on.is_(None) & (TABLE.c.open_minor == 0),
    "cancelled": TABLE.c.cancelled_on.is_not(None),
}
# A title has at most 360 instalments, and few settlements each.
_PARTS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LateTermsRow:
    """What was agreed for late payment, in per cent."""

    fine_pct: Decimal
    interest_pct_month: Decimal
    day_basis: int
    grace_days: int
    rounding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivableRow:
    """One title. `status` is `open`, `settled` or `cancelled`; what is open is principal, without charges."""

    id: ReceivableId
    status: str
    party_id: PartyId
    party_name: str | None
    document: Document
    created_on: date
    cancelled_on: date | None
    total: Amount
    open_amount: Amount
    instalment_count: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivableDetail:
    """One title with its late terms, its instalments and its settlements."""

    id: ReceivableId
    status: str
    party_id: PartyId
    party_name: str | None
    document: Document
    created_on: date
    cancelled_on: date | None
    total: Amount
    open_amount: Amount
    late_terms: LateTermsRow
    instalments: tuple[InstalmentRow, ...]
    settlements: tuple[SettlementRow, ...]
    version: int


async def receivables(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    status: str | None = None,
    party_id: UUID | None = None,
    document_id: UUID | None = None,
    created_on: Days = ANY_DAY,
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[ReceivableRow]:
    """The titles, the newest first."""
    wanted = (
        (TABLE.c.company_id, company_id),
        (TABLE.c.party_id, party_id),
        (TABLE.c.document_id, document_id),
    )
    in_status = [] if status is None else [_STATUS[status]]
    question = _with_party().where(
        *equal(*wanted),
        *in_status,
        *created_on.within(TABLE.c.created_on),
        *beyond(_ORDER, after, descending=True),
    )
    found = await connection.execute(question.order_by(*(column.desc() for column in _ORDER)).limit(limit))
    return [_row(row) for row in found]


async def receivable(
    connection: AsyncConnection, company_id: UUID, receivable_id: UUID, *, today: date
) -> ReceivableDetail | None:
    """One title with all its parts, or None. `today` decides what is overdue."""
    question = _with_party().where(TABLE.c.company_id == company_id, TABLE.c.receivable_id == receivable_id)
    row = (await connection.execute(question)).one_or_none()
    if row is None:
        return None
    parts = await instalments(
        connection, company_id, receivable_id=receivable_id, today=today, limit=_PARTS_MAX
    )
    paid = await settlements(connection, company_id, receivable_id=receivable_id, limit=_PARTS_MAX)
    return _detail(row, tuple(sorted(parts, key=lambda part: part.number)), tuple(paid))


def _with_party() -> Select[Any]:
    party = (PARTIES.c.company_id == TABLE.c.company_id) & (PARTIES.c.party_id == TABLE.c.party_id)
    return select(TABLE, PARTIES.c.name.label("party_name")).outerjoin(PARTIES, party)


def _status(row: Row[Any]) -> str:
    if row.cancelled_on is not None:
        return "cancelled"
    return "open" if row.open_minor else "settled"


def _row(row: Row[Any]) -> ReceivableRow:
    return ReceivableRow(
        id=row.receivable_id,
        status=_status(row),
        party_id=row.party_id,
        party_name=row.party_name,
        document=Document(row.document_kind, row.document_id),
        created_on=row.created_on,
        cancelled_on=row.cancelled_on,
        total=Amount(row.total_minor, row.currency),
        open_amount=Amount(row.open_minor, row.currency),
        instalment_count=row.instalment_count,
        version=row.version,
    )


def _detail(
    row: Row[Any], parts: tuple[InstalmentRow, ...], paid: tuple[SettlementRow, ...]
) -> ReceivableDetail:
    return ReceivableDetail(
        id=row.receivable_id,
        status=_status(row),
        party_id=row.party_id,
        party_name=row.party_name,
        document=Document(row.document_kind, row.document_id),
        created_on=row.created_on,
        cancelled_on=row.cancelled_on,
        total=Amount(row.total_minor, row.currency),
        open_amount=Amount(row.open_minor, row.currency),
        late_terms=LateTermsRow(
            fine_pct=row.fine_pct,
            interest_pct_month=row.interest_pct_month,
            day_basis=row.day_basis,
            grace_days=row.grace_days,
            rounding=row.rounding,
        ),
        instalments=parts,
        settlements=paid,
        version=row.version,
    )
