"""The chart of accounts: a tree whose leaves take postings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Column, Index, Integer, Row, Text, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.selection import equal

RESULT_KINDS = ("revenue", "deduction", "cost", "expense")
"""The kinds of account an income statement is made of; the others make the balance sheet."""

TABLE = read_table(
    "ledger_accounts",
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("leaf", Boolean, nullable=False),
    Column("parent", Text),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Index("ledger_accounts_kind", "company_id", "kind"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """One account. `side` increases it; only a `leaf` takes postings; `status` is `active` or `archived`."""

    code: str
    name: str
    kind: str
    side: str
    leaf: bool
    parent: str | None
    status: str


async def ledger_accounts(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    kind: str | None = None,
    leaf: bool | None = None,
    status: str | None = None,
) -> Sequence[AccountRow]:
    """The whole chart in the order of its codes: a few hundred rows, so it is never paged."""
    wanted = (
        (TABLE.c.company_id, company_id),
        (TABLE.c.kind, kind),
        (TABLE.c.leaf, leaf),
        (TABLE.c.status, status),
    )
    found = await connection.execute(select(TABLE).where(*equal(*wanted)))
    return sorted((_row(row) for row in found), key=lambda account: chart_order(account.code))


def chart_order(code: str) -> tuple[tuple[int, str], ...]:
    """Sorts codes part by part, numbers as numbers: 1.2 before 1.10."""
    return tuple((int(part) if part.isdecimal() else -1, part) for part in code.split("."))


def groups_of(code: str) -> Sequence[str]:
    """The accounts above one, from the top: of 3.1.1.01 these are 3, 3.1 and 3.1.1."""
    parts = code.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _row(row: Row[Any]) -> AccountRow:
    return AccountRow(
        code=row.code,
        name=row.name,
        kind=row.kind,
        side=row.side,
        leaf=row.leaf,
        parent=row.parent,
        status=row.status,
    )
