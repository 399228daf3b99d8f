"""Ageing: what is owed to us by how late it is, on any day, as known at any moment.

Every change of what is open is a row with its two dates, so both axes work by summing:
what is open of an instalment is the sum of its changes up to the day, of those known then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    Row,
    Text,
    Uuid,
    and_,
    case,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.known import NOW, KnownAsOf
from read_model.parties.directory import TABLE as PARTIES
from read_model.row import Amount, PartyId
from read_model.selection import equal

TABLE = read_table(
    "settlement_ageing",
    Column("instalment_id", Uuid, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("party_id", Uuid, nullable=False),
    Column("due_date", Date),  # on the row that opens the instalment, and on no other
    Column("effective_date", Date, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("open_delta_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Index("settlement_ageing_effective", "company_id", "effective_date", "position"),
    Index("settlement_ageing_party", "company_id", "party_id", "effective_date"),
)
BUCKETS = ("not_due", "days_1_30", "days_31_60", "days_61_90", "over_90")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeingRow:
    """What is open in each bucket of days late; of one party, or of all."""

    party_id: PartyId | None
    party_name: str | None
    not_due: Amount
    days_1_30: Amount
    days_31_60: Amount
    days_61_90: Amount
    over_90: Amount
    overdue: Amount
    total: Amount
    instalments: int


async def ageing(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    on: date,
    known: KnownAsOf = NOW,
    party_id: UUID | None = None,
    by_party: bool = False,
) -> Sequence[AgeingRow]:
    """One row per currency, or per party and currency, the most owed first; none when nothing is open."""
    open_ = _open_instalments(company_id, on, known, party_id)
    late = cast(literal(on, Date) - open_.c.due_date, Integer)
    # Paid before the day it was owed from: nothing that could be late.
    not_due = late.is_(None) | (late <= 0)
    bucket = case((not_due, 0), (late <= 30, 1), (late <= 60, 2), (late <= 90, 3), else_=4)
    sums = [
        cast(func.coalesce(func.sum(open_.c.open_minor).filter(bucket == number), 0), BigInteger).label(name)
        for number, name in enumerate(BUCKETS)
    ]
    total = cast(func.sum(open_.c.open_minor), BigInteger).label("total")
    shared = [open_.c.currency, *sums, total, func.count().label("instalments")]
    if not by_party:
        return [_row(row) for row in await connection.execute(select(*shared).group_by(open_.c.currency))]
    party = and_(PARTIES.c.company_id == company_id, PARTIES.c.party_id == open_.c.party_id)
    question = (
        select(open_.c.party_id, PARTIES.c.name.label("party_name"), *shared)
        .outerjoin(PARTIES, party)
        .group_by(open_.c.party_id, PARTIES.c.name, open_.c.currency)
        .order_by(total.desc(), open_.c.party_id)
    )
    return [_row(row) for row in await connection.execute(question)]


def _open_instalments(company_id: UUID, on: date, known: KnownAsOf, party_id: UUID | None) -> Any:
    """The instalments that had something open on the day, as known then."""
    open_minor = func.sum(TABLE.c.open_delta_minor)
    return (
        select(
            TABLE.c.instalment_id,
            TABLE.c.party_id,
            func.max(TABLE.c.due_date).label("due_date"),
            TABLE.c.currency,
            open_minor.label("open_minor"),
        )
        .where(
            *equal((TABLE.c.company_id, company_id), (TABLE.c.party_id, party_id)),
            TABLE.c.effective_date <= on,
            *known.within(TABLE),
        )
        .group_by(TABLE.c.instalment_id, TABLE.c.party_id, TABLE.c.currency)
        .having(open_minor != 0)
        .subquery()
    )


def _row(row: Row[Any]) -> AgeingRow:
    found = row._mapping
    amounts = {name: Amount(found[name], row.currency) for name in BUCKETS}
    return AgeingRow(
        party_id=found.get("party_id"),
        party_name=found.get("party_name"),
        overdue=Amount(row.total - found["not_due"], row.currency),
        total=Amount(row.total, row.currency),
        instalments=row.instalments,
        **amounts,
    )
