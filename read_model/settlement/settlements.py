"""Settlements: the payments taken for instalments, what they were made of, and which were reversed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, Index, Integer, Row, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.row import Amount, BankAccountId, EventId, InstalmentId, PartyId, ReceivableId, SettlementId
from read_model.selection import ANY_DAY, Days, beyond, equal

AMOUNTS = ("gross", "principal", "interest", "fine", "discount", "fee", "tax_withheld", "net", "waived")
"""What a settlement is made of: gross = principal - discount + interest + fine = net + fee + tax_withheld."""

TABLE = read_table(
    "settlement_settlements",
    Column("settlement_id", Uuid, primary_key=True),
    Column("receivable_id", Uuid, nullable=False),
    Column("instalment_id", Uuid, nullable=False),
    Column("instalment_number", Integer, nullable=False),
    Column("party_id", Uuid, nullable=False),
    Column("bank_account_id", Uuid, nullable=False),
    Column("paid_on", Date, nullable=False),
    *(Column(f"{name}_minor", BigInteger, nullable=False) for name in AMOUNTS),
    Column("currency", Text, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("reversed_on", Date),
    Column("reversal_reason", Text),
    Column("reversal_event_id", Uuid),
    Index("settlement_settlements_position", "company_id", "position", "settlement_id"),
    Index("settlement_settlements_title", "company_id", "receivable_id", "position"),
    Index("settlement_settlements_instalment", "company_id", "instalment_id", "position"),
    Index("settlement_settlements_account", "company_id", "bank_account_id", "paid_on"),
)
_ORDER = (TABLE.c.position, TABLE.c.settlement_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementRow:
    """One payment. `status` is `standing` or `reversed`."""

    id: SettlementId
    position: int
    status: str
    receivable_id: ReceivableId
    instalment_id: InstalmentId
    instalment_number: int
    party_id: PartyId
    bank_account_id: BankAccountId
    paid_on: date
    gross: Amount
    principal: Amount
    interest: Amount
    fine: Amount
    discount: Amount
    fee: Amount
    tax_withheld: Amount
    net: Amount
    waived: Amount
    event_id: EventId
    reversed_on: date | None
    reversal_reason: str | None
    reversal_event_id: EventId | None


async def settlements(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    receivable_id: UUID | None = None,
    instalment_id: UUID | None = None,
    settlement_id: UUID | None = None,
    bank_account_id: UUID | None = None,
    paid_on: Days = ANY_DAY,
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[SettlementRow]:
    """The settlements in the order they were recorded, those reversed since included."""
    wanted = (
        (TABLE.c.company_id, company_id),
        (TABLE.c.receivable_id, receivable_id),
        (TABLE.c.instalment_id, instalment_id),
        (TABLE.c.settlement_id, settlement_id),
        (TABLE.c.bank_account_id, bank_account_id),
    )
    question = select(TABLE).where(*equal(*wanted), *paid_on.within(TABLE.c.paid_on), *beyond(_ORDER, after))
    found = await connection.execute(question.order_by(*_ORDER).limit(limit))
    return [_row(row) for row in found]


async def settlement(
    connection: AsyncConnection, company_id: UUID, settlement_id: UUID
) -> SettlementRow | None:
    """One settlement, or None."""
    found = await settlements(connection, company_id, settlement_id=settlement_id, limit=1)
    return found[0] if found else None


def _row(row: Row[Any]) -> SettlementRow:
    amounts = {name: Amount(row._mapping[f"{name}_minor"], row.currency) for name in AMOUNTS}
    return SettlementRow(
        id=row.settlement_id,
        position=row.position,
        status="standing" if row.reversed_on is None else "reversed",
        receivable_id=row.receivable_id,
        instalment_id=row.instalment_id,
        instalment_number=row.instalment_number,
        party_id=row.party_id,
        bank_account_id=row.bank_account_id,
        paid_on=row.paid_on,
        event_id=row.event_id,
        reversed_on=row.reversed_on,
        reversal_reason=row.reversal_reason,
        reversal_event_id=row.reversal_event_id,
        **amounts,
    )
