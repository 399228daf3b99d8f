"""Keeps the list of companies at the door in step with what commands made of them.

The events are the truth; this list only says which companies there are and who belongs to them, for
signing in. It is written after the append, and again on every repetition, so nothing in between is lost.
"""

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from write_model.companies.company import (
    RegisterCompany,
    ReinstateCompany,
    SuspendCompany,
    UpdateCompanyProfile,
)
from write_model.message import Command

if TYPE_CHECKING:
    from write_model.store.store import Store

_AS_COMPANY = text("SELECT set_config('ccontrol.company', :company_id, true)")
_ENTER = text(
    "INSERT INTO ccontrol.companies_directory (company_id, partition, name, tax_fingerprint, time_zone)"
    " VALUES (:company_id, :partition, :name, :tax, 'America/Sao_Paulo') ON CONFLICT DO NOTHING"
)
_OWN = text(
    "INSERT INTO ccontrol.memberships (company_id, user_id, roles) VALUES (:company_id, :user_id, '{owner}')"
    " ON CONFLICT DO NOTHING"
)
_RENAME = text("UPDATE ccontrol.companies_directory SET name = :name WHERE company_id = :company_id")
_SUSPEND = text(
    "UPDATE ccontrol.companies_directory SET suspended_at = coalesce(suspended_at, clock_timestamp())"
    " WHERE company_id = :company_id"
)
_REINSTATE = text(
    "UPDATE ccontrol.companies_directory SET suspended_at = NULL WHERE company_id = :company_id"
)


def concerns(command: Command) -> bool:
    """Whether a command is about a company itself."""
    return isinstance(command, RegisterCompany | UpdateCompanyProfile | SuspendCompany | ReinstateCompany)


async def write(
    engine: AsyncEngine, store: "Store", command: Command, company_id: UUID, user_id: UUID
) -> None:
    """The same in the directory as in the events; may be repeated."""
    async with engine.begin() as connection:
        await connection.execute(_AS_COMPANY, {"company_id": str(company_id)})
        await _write(connection, store, command, company_id, user_id)


async def _write(
    connection: AsyncConnection, store: "Store", command: Command, company_id: UUID, user_id: UUID
) -> None:
    named = {"company_id": company_id}
    match command:
        case RegisterCompany():
            number = command.tax_number
            entry = {
                "partition": store.partition_of(company_id),
                "name": command.trade_name or command.legal_name,
                "tax": None if number is None else store.fingerprint(company_id, number.number),
            }
            await connection.execute(_ENTER, named | entry)
            await connection.execute(_OWN, named | {"user_id": user_id})
        case UpdateCompanyProfile():
            await connection.execute(_RENAME, named | {"name": command.trade_name or command.legal_name})
        case SuspendCompany():
            await connection.execute(_SUSPEND, named)
        case ReinstateCompany():
            await connection.execute(_REINSTATE, named)
