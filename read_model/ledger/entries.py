"""Journal entries: the balanced wholes that ledger lines belong to, and what reversed them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.known import NOW, KnownAsOf
from read_model.ledger.lines import ENTRIES as TABLE
from read_model.ledger.lines import LedgerLineRow, LineSelection, ledger_lines
from read_model.row import Actor, Amount, CommandId, Document, EntryId, EventId
from read_model.selection import ANY_DAY, Days, beyond, equal

_ORDER = (TABLE.c.effective_date, TABLE.c.position)
_REVERSAL = TABLE.alias("reversal")
# More lines than any entry may have.
_LINES_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRow:
    """One entry. `total` is the sum of its debits, which is that of its credits."""

    id: EntryId
    rule: str
    rule_version: int
    document: Document
    memo: str
    total: Amount
    effective_date: date
    position: int
    recorded_at: datetime
    event_id: EventId
    command_id: CommandId
    actor: Actor
    reason: str | None
    reverses: EntryId | None
    reversed_by: EntryId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDetail:
    """One entry and its lines."""

    entry: EntryRow
    lines: tuple[LedgerLineRow, ...]


async def ledger_entries(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    document_id: UUID | None = None,
    effective_date: Days = ANY_DAY,
    known: KnownAsOf = NOW,
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[EntryRow]:
    """The entries by day and, within it, as they were recorded."""
    wanted = ((TABLE.c.company_id, company_id), (TABLE.c.document_id, document_id))
    question = _linked().where(
        *equal(*wanted),
        *effective_date.within(TABLE.c.effective_date),
        *known.within(TABLE),
        *beyond(_ORDER, after),
    )
    found = await connection.execute(question.order_by(*_ORDER).limit(limit))
    return [_row(row) for row in found]


async def ledger_entry(connection: AsyncConnection, company_id: UUID, entry_id: UUID) -> EntryDetail | None:
    """One entry with its lines, or None."""
    question = _linked().where(TABLE.c.company_id == company_id, TABLE.c.entry_id == entry_id)
    row = (await connection.execute(question)).one_or_none()
    if row is None:
        return None
    lines = await ledger_lines(connection, company_id, LineSelection(entry_id=entry_id), limit=_LINES_MAX)
    return EntryDetail(entry=_row(row), lines=tuple(sorted(lines, key=lambda line: line.line)))


def _linked() -> Select[Any]:
    """Entries with what reversed them: the entry that names them as the one it reverses."""
    reversal = and_(_REVERSAL.c.company_id == TABLE.c.company_id, _REVERSAL.c.reverses == TABLE.c.entry_id)
    return select(TABLE, _REVERSAL.c.entry_id.label("reversed_by")).outerjoin(_REVERSAL, reversal)


def _row(row: Row[Any]) -> EntryRow:
    return EntryRow(
        id=row.entry_id,
        rule=row.rule,
        rule_version=row.rule_version,
        document=Document(row.document_kind, row.document_id),
        memo=row.memo,
        total=Amount(row.total_minor, row.currency),
        effective_date=row.effective_date,
        position=row.position,
        recorded_at=row.recorded_at,
        event_id=row.event_id,
        command_id=row.command_id,
        actor=Actor(row.actor_kind, row.actor_id, row.on_behalf_of),
        reason=row.reason,
        reverses=row.reverses,
        reversed_by=row.reversed_by,
    )
