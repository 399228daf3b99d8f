"""Keeps the list of companies at the door in step with what commands made of them.

The events are the truth; this list only says which companies there are and who belongs to them, for
signing in. It is written after the append, and again on every repetition, so nothing in between is lost.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.auth import Caller
from api.memberships import Directory
from api.services import Services
from write_model.companies.company import (
    RegisterCompany,
    ReinstateCompany,
    SuspendCompany,
    UpdateCompanyProfile,
)
from write_model.dispatch import Receipt
from write_model.message import Command

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


async def follow(
    services: Services, command: Command, receipt: Receipt, caller: Caller, directory: Directory
) -> None:
    """After a command about a company: the same in the directory. Nothing for other commands."""
    about = isinstance(command, RegisterCompany | UpdateCompanyProfile | SuspendCompany | ReinstateCompany)
    if not about or receipt.dry_run or not isinstance(receipt.target, UUID):
        return
    async with services.engine.begin() as connection:
        await connection.execute(_AS_COMPANY, {"company_id": str(receipt.target)})
        await _write(connection, services, command, receipt.target, caller.user_id)
    directory.forget(caller.user_id)


async def _write(
    connection: AsyncConnection, services: Services, command: Command, company_id: UUID, user_id: UUID
) -> None:
    named = {"company_id": company_id}
    match command:
        case RegisterCompany():
            number = command.tax_number
            entry = {
                "partition": services.store.partition_of(company_id),
                "name": command.trade_name or command.legal_name,
                "tax": None if number is None else services.store.fingerprint(company_id, number.number),
            }
            await connection.execute(_ENTER, named | entry)
            await connection.execute(_OWN, named | {"user_id": user_id})
        case UpdateCompanyProfile():
            await connection.execute(_RENAME, named | {"name": command.trade_name or command.legal_name})
        case SuspendCompany():
            await connection.execute(_SUSPEND, named)
        case ReinstateCompany():
            await connection.execute(_REINSTATE, named)
