"""Ledger lines: every posting with both its dates, what it is about, and who caused it.

Every report on the books is a sum of these rows, so every figure can be followed to its lines, and each
line to its event.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Index,
    Integer,
    Row,
    Text,
    Uuid,
    and_,
    cast,
    func,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.known import NOW, KnownAsOf
from read_model.row import Actor, Amount, BankAccountId, CommandId, Document, EntryId, EventId, PartyId
from read_model.selection import ANY_DAY, Days, beyond, equal

# Account codes are compared byte by byte: that is how a prefix is a range of the index.
_BY_BYTES = {"account_code": "text_pattern_ops"}

TABLE = read_table(
    "ledger_lines",
    # By position, so that rows are written where the last ones were; entries have random ids.
    Column("position", BigInteger, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("account_code", Text, nullable=False),
    Column("account_name", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("effective_date", Date, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("party_id", Uuid),
    Column("bank_account_id", Uuid),
    Column("memo", Text),
    Index("ledger_lines_effective", "company_id", "effective_date", "position", "line"),
    Index(
        "ledger_lines_account",
        "company_id",
        "account_code",
        "effective_date",
        "position",
        "line",
        postgresql_ops=_BY_BYTES,
    ),
)
ENTRIES = read_table(
    "ledger_entries",
    Column("position", BigInteger, primary_key=True),
    Column("entry_id", Uuid, nullable=False),
    Column("rule", Text, nullable=False),
    Column("rule_version", Integer, nullable=False),
    Column("document_kind", Text, nullable=False),
    Column("document_id", Uuid, nullable=False),
    Column("memo", Text, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("effective_date", Date, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("command_id", Uuid, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Uuid, nullable=False),
    Column("on_behalf_of", Uuid),
    Column("reason", Text),
    Column("reverses", Uuid),
    Index("ledger_entries_entry", "company_id", "entry_id"),
    Index("ledger_entries_reverses", "company_id", "reverses"),
    Index("ledger_entries_effective", "company_id", "effective_date", "position"),
    Index("ledger_entries_document", "company_id", "document_id"),
)
"""What the lines of one entry have in common, so that it is kept once."""

_ORDER = (TABLE.c.effective_date, TABLE.c.position, TABLE.c.line)
_OF_THE_ENTRY = (
    ENTRIES.c.entry_id,
    ENTRIES.c.event_id,
    ENTRIES.c.command_id,
    ENTRIES.c.actor_kind,
    ENTRIES.c.actor_id,
    ENTRIES.c.on_behalf_of,
    ENTRIES.c.reason,
    ENTRIES.c.rule,
    ENTRIES.c.rule_version,
    ENTRIES.c.document_kind,
    ENTRIES.c.document_id,
    ENTRIES.c.memo.label("entry_memo"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLineRow:
    """One posting."""

    entry_id: EntryId
    line: int
    account_code: str
    account_name: str
    side: str
    amount: Amount
    effective_date: date
    position: int
    recorded_at: datetime
    event_id: EventId
    command_id: CommandId
    actor: Actor
    reason: str | None
    rule: str
    rule_version: int
    document: Document
    party_id: PartyId | None
    bank_account_id: BankAccountId | None
    memo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSum:
    """What all lines of a selection add up to, page by page or at once. `net` is debits minus credits."""

    debits: Amount
    credits: Amount
    net: Amount
    lines: int


def under(account_codes: Collection[str]) -> list[ColumnElement[bool]]:
    """Lines of any of these accounts and of the accounts below them; no code asks for all lines."""
    if not account_codes:
        return []
    code = TABLE.c.account_code
    below = (
        # Between "3.1." and "3.1/", which follows it byte by byte: all that begins with "3.1.".
        or_(code == given, and_(code.op("~>=~")(f"{given}."), code.op("~<~")(f"{given}/")))
        for given in account_codes
    )
    return [or_(*below)]


def debits() -> ColumnElement[int]:
    """The sum of debits in centavos."""
    return _sum("D")


def credits() -> ColumnElement[int]:  # noqa: A001 - the word of the trade
    """The sum of credits in centavos."""
    return _sum("C")


def _sum(side: str) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(TABLE.c.amount_minor).filter(TABLE.c.side == side), 0), BigInteger)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSelection:
    """Which lines: by account and all below it, day, document, entry, and as known when."""

    accounts: tuple[str, ...] = ()
    effective_date: Days = ANY_DAY
    document_id: UUID | None = None
    entry_id: UUID | None = None
    known: KnownAsOf = NOW

    def conditions(self, company_id: UUID) -> list[ColumnElement[bool]]:
        """As conditions on the table."""
        return [
            TABLE.c.company_id == company_id,
            *self._entries(company_id),
            *under(self.accounts),
            *self.effective_date.within(TABLE.c.effective_date),
            *self.known.within(TABLE),
        ]

    def _entries(self, company_id: UUID) -> list[ColumnElement[bool]]:
        wanted = equal((ENTRIES.c.document_id, self.document_id), (ENTRIES.c.entry_id, self.entry_id))
        if not wanted:
            return []
        # An entry is on one position, so its lines are found by the key.
        positions = select(ENTRIES.c.position).where(ENTRIES.c.company_id == company_id, *wanted)
        return [TABLE.c.position.in_(positions)]


async def ledger_lines(
    connection: AsyncConnection,
    company_id: UUID,
    selection: LineSelection,
    *,
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[LedgerLineRow]:
    """The lines by day and, within it, as they were recorded."""
    entry = and_(ENTRIES.c.company_id == company_id, ENTRIES.c.position == TABLE.c.position)
    question = (
        select(TABLE, *_OF_THE_ENTRY)
        .join(ENTRIES, entry)
        .where(*selection.conditions(company_id), *beyond(_ORDER, after))
    )
    found = await connection.execute(question.order_by(*_ORDER).limit(limit))
    return [_row(row) for row in found]


async def ledger_sums(
    connection: AsyncConnection, company_id: UUID, selection: LineSelection
) -> Sequence[LedgerSum]:
    """What the selected lines add up to, per currency."""
    question = (
        select(TABLE.c.currency, debits().label("debits"), credits().label("credits"), func.count())
        .where(*selection.conditions(company_id))
        .group_by(TABLE.c.currency)
        .order_by(TABLE.c.currency)
    )
    return [
        LedgerSum(
            debits=Amount(debit, currency),
            credits=Amount(credit, currency),
            net=Amount(debit - credit, currency),
            lines=lines,
        )
        for currency, debit, credit, lines in await connection.execute(question)
    ]


def _row(row: Row[Any]) -> LedgerLineRow:
    return LedgerLineRow(
        entry_id=row.entry_id,
        line=row.line,
        account_code=row.account_code,
        account_name=row.account_name,
        side=row.side,
        amount=Amount(row.amount_minor, row.currency),
        effective_date=row.effective_date,
        position=row.position,
        recorded_at=row.recorded_at,
        event_id=row.event_id,
        command_id=row.command_id,
        actor=Actor(row.actor_kind, row.actor_id, row.on_behalf_of),
        reason=row.reason,
        rule=row.rule,
        rule_version=row.rule_version,
        document=Document(row.document_kind, row.document_id),
        party_id=row.party_id,
        bank_account_id=row.bank_account_id,
        memo=row.memo or row.entry_memo,
    )
