"""Questions about bank and cash accounts."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from api.cached import from_view
from api.filters import Axes, BankAccountKey, axes, days, found
from api.queries import Paging, Reading, paging, reads
from api.representation import page_of, shape_of, shown, shown_page
from api.timeline import HISTORY, history
from read_model.selection import Days
from read_model.treasury.bank_accounts import (
    BankAccountRow,
    bank_account,
    bank_accounts,
    bank_accounts_cached,
)
from read_model.treasury.statement import MovementRow, statement

router = APIRouter(prefix="/v1", tags=["treasury"])

_PERMISSION = "treasury.read"

Accounts = Annotated[Reading, reads("treasury_bank_accounts", permission=_PERMISSION)]
Statement = Annotated[Reading, reads("treasury_statement", "treasury_bank_accounts", permission=_PERMISSION)]
Trail = Annotated[Reading, reads("audit_events", permission=_PERMISSION)]
Pages = Annotated[Paging, Depends(paging)]


def _key(row: BankAccountRow) -> tuple[Any, ...]:
    return (row.id,)


@router.get("/bank-accounts", response_model=page_of(BankAccountRow))
async def list_bank_accounts(reading: Accounts, paging: Pages, request: Request, response: Response) -> Any:
    """The accounts by name with what is in them."""
    where, position = (reading.partition, reading.company_id), reading.as_of.position
    seen = await from_view(
        lambda views: bank_accounts_cached(views, *where, at_least=position), reading, request, response
    )
    if seen is None:
        rows = await bank_accounts(reading.connection, reading.company_id)
    else:
        rows, reading = seen
    return shown_page(paging.page(reading, paging.cut(rows, _key), key=_key))


@router.get("/bank-accounts/{bank_account_id}", response_model=shape_of(BankAccountRow))
async def show_bank_account(reading: Accounts, bank_account_id: BankAccountKey, response: Response) -> Any:
    """One account."""
    row = found(await bank_account(reading.connection, reading.company_id, bank_account_id))
    response.headers["ETag"] = f'"{row.version}"'
    return shown(row)


@router.get("/bank-accounts/{bank_account_id}/statement", response_model=page_of(MovementRow))
async def show_statement(
    reading: Statement,
    paging: Pages,
    bank_account_id: BankAccountKey,
    effective_date: Annotated[Days, Depends(days("effective_date"))],
    times: Annotated[Axes, Depends(axes)],
) -> Any:
    """The movements of an account by day, each with the balance after it."""
    found(await bank_account(reading.connection, reading.company_id, bank_account_id))
    rows = await statement(
        reading.connection,
        reading.company_id,
        bank_account_id,
        days=effective_date.up_to(times.effective_to),
        known=times.known,
        after=paging.after,
        limit=paging.limit + 1,
    )
    return shown_page(paging.page(reading, rows, key=lambda row: (row.effective_date, row.position)))


@router.get("/bank-accounts/{bank_account_id}/history", response_model=HISTORY)
async def bank_account_history(reading: Trail, paging: Pages, bank_account_id: BankAccountKey) -> Any:
    """What happened with an account."""
    return await history(reading, paging, bank_account_id)
