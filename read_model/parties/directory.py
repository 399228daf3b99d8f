"""The directory of parties: customers and suppliers, with the personal data whose keys still exist."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Column, Date, Index, Integer, Row, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.row import PartyId
from read_model.selection import beyond, contains, equal

TABLE = read_table(
    "parties_directory",
    Column("party_id", Uuid, primary_key=True),
    Column("customer", Boolean, nullable=False),
    Column("supplier", Boolean, nullable=False),
    Column("name", Text),
    Column("tax_kind", Text),
    Column("tax_number", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("address", Text),
    Column("city", Text),
    Column("state", Text),
    Column("external_ref", Text),
    Column("status", Text, nullable=False),
    Column("registered_on", Date, nullable=False),
    Column("folded", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Index("parties_directory_folded", "company_id", "folded", "party_id"),
    Index("parties_directory_tax_number", "company_id", "tax_number"),
    Index("parties_directory_external_ref", "company_id", "external_ref"),
    Index("parties_directory_state", "company_id", "state", "folded", "party_id"),
)
_ORDER = (TABLE.c.folded, TABLE.c.party_id)
_ROLES = {"customer": TABLE.c.customer, "supplier": TABLE.c.supplier}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyRow:
    """One party. What identifies a person is null once it was erased. `status` is `active` or `blocked`."""

    id: PartyId
    roles: tuple[str, ...]
    name: str | None
    tax_kind: str | None
    tax_number: str | None
    email: str | None
    phone: str | None
    address: str | None
    city: str | None
    state: str | None
    external_ref: str | None
    status: str
    registered_on: date
    version: int


async def parties(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    role: str | None = None,
    status: str | None = None,
    tax_number: str | None = None,
    external_ref: str | None = None,
    state: str | None = None,
    q: str | None = None,
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[tuple[PartyRow, tuple[Any, ...]]]:
    """The parties by name, each with its place in that order."""
    wanted = (
        (TABLE.c.company_id, company_id),
        (TABLE.c.status, status),
        (TABLE.c.tax_number, tax_number),
        (TABLE.c.external_ref, external_ref),
        (TABLE.c.state, state),
    )
    in_role = [] if role is None else [_ROLES[role]]
    question = select(TABLE).where(
        *equal(*wanted), *in_role, *contains(TABLE.c.folded, q), *beyond(_ORDER, after)
    )
    found = await connection.execute(question.order_by(*_ORDER).limit(limit))
    return [(_row(row), (row.folded, row.party_id)) for row in found]


async def party(connection: AsyncConnection, company_id: UUID, party_id: UUID) -> PartyRow | None:
    """One party, or None."""
    question = select(TABLE).where(TABLE.c.company_id == company_id, TABLE.c.party_id == party_id)
    row = (await connection.execute(question)).one_or_none()
    return None if row is None else _row(row)


def _row(row: Row[Any]) -> PartyRow:
    return PartyRow(
        id=row.party_id,
        roles=tuple(role for role in _ROLES if row._mapping[role]),
        name=row.name,
        tax_kind=row.tax_kind,
        tax_number=row.tax_number,
        email=row.email,
        phone=row.phone,
        address=row.address,
        city=row.city,
        state=row.state,
        external_ref=row.external_ref,
        status=row.status,
        registered_on=row.registered_on,
        version=row.version,
    )
