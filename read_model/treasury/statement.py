"""The statement of an account: every movement with the balance after it, on both axes of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import accumulate
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, DateTime, Index, Row, Text, Uuid, cast, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.known import NOW, KnownAsOf
from read_model.row import Amount, EventId, PartyId, SettlementId
from read_model.selection import ANY_DAY, Days, beyond

TABLE = read_table(
    "treasury_statement",
    Column("bank_account_id", Uuid, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("effective_date", Date, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("party_id", Uuid),
    Column("settlement_id", Uuid),
    Column("event_id", Uuid, nullable=False),
    Index("treasury_statement_order", "company_id", "bank_account_id", "effective_date", "position"),
)
_ORDER = (TABLE.c.effective_date, TABLE.c.position)


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementRow:
    """One movement; `kind` is `opening_balance`, `settlement` or `reversal`."""

    position: int
    kind: str
    effective_date: date
    recorded_at: datetime
    amount: Amount
    balance: Amount
    party_id: PartyId | None
    settlement_id: SettlementId | None
    event_id: EventId


async def statement(
    connection: AsyncConnection,
    company_id: UUID,
    bank_account_id: UUID,
    *,
    days: Days = ANY_DAY,
    known: KnownAsOf = NOW,
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[MovementRow]:
    """The movements by day, the oldest first. The balance counts all movements before, shown or not."""
    mine = (TABLE.c.company_id == company_id, TABLE.c.bank_account_id == bank_account_id)
    conditions = (*mine, *known.within(TABLE))
    question = select(TABLE).where(*conditions, *days.within(TABLE.c.effective_date), *beyond(_ORDER, after))
    found = (await connection.execute(question.order_by(*_ORDER).limit(limit))).all()
    if not found:
        return []
    first = tuple_(found[0].effective_date, found[0].position)
    before = select(cast(func.coalesce(func.sum(TABLE.c.amount_minor), 0), BigInteger))
    opening = (await connection.execute(before.where(*conditions, tuple_(*_ORDER) < first))).scalar_one()
    balances = accumulate((row.amount_minor for row in found), initial=opening)
    next(balances)
    return [_row(row, balance) for row, balance in zip(found, balances, strict=True)]


async def balance(
    connection: AsyncConnection,
    company_id: UUID,
    bank_account_id: UUID,
    *,
    effective_to: date,
    known: KnownAsOf = NOW,
) -> int:
    """What was in the account at the end of a day, in centavos, as known then."""
    question = select(cast(func.coalesce(func.sum(TABLE.c.amount_minor), 0), BigInteger)).where(
        TABLE.c.company_id == company_id,
        TABLE.c.bank_account_id == bank_account_id,
        TABLE.c.effective_date <= effective_to,
        *known.within(TABLE),
    )
    minor: int = (await connection.execute(question)).scalar_one()
    return minor


def _row(row: Row[Any], balance_minor: int) -> MovementRow:
    return MovementRow(
        position=row.position,
        kind=row.kind,
        effective_date=row.effective_date,
        recorded_at=row.recorded_at,
        amount=Amount(row.amount_minor, row.currency),
        balance=Amount(balance_minor, row.currency),
        party_id=row.party_id,
        settlement_id=row.settlement_id,
        event_id=row.event_id,
    )
