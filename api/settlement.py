"""Questions about what is owed and what was paid."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from api.filters import (
    BankAccountKey,
    InstalmentKey,
    PartyKey,
    ReceivableKey,
    SaleKey,
    SettlementKey,
    choices,
    days,
    found,
)
from api.queries import Paging, Reading, paging, reads
from api.representation import page_of, shape_of, shown, shown_page
from api.timeline import HISTORY, events_of, history
from read_model.selection import Days
from read_model.settlement.instalments import InstalmentRow, instalment, instalments
from read_model.settlement.receivables import ReceivableDetail, ReceivableRow, receivable, receivables
from read_model.settlement.settlements import SettlementRow, settlement, settlements

router = APIRouter(prefix="/v1", tags=["settlement"])

_TITLES = ("settlement_receivables", "settlement_instalments", "settlement_settlements", "parties_directory")
_PERMISSION = "settlement.read"

Receivables = Annotated[Reading, reads("settlement_receivables", "parties_directory", permission=_PERMISSION)]
Titles = Annotated[Reading, reads(*_TITLES, permission=_PERMISSION)]
Instalments = Annotated[Reading, reads("settlement_instalments", "parties_directory", permission=_PERMISSION)]
Settlements = Annotated[Reading, reads("settlement_settlements", permission=_PERMISSION)]
Trail = Annotated[Reading, reads("audit_events", permission=_PERMISSION)]
Payments = Annotated[
    Reading,
    reads("audit_events", "settlement_instalments", "parties_directory", permission=_PERMISSION),
]
Pages = Annotated[Paging, Depends(paging)]
InstalmentStatus = Literal["open", "overdue", "settled", "cancelled"]

_STATUSES = frozenset({"open", "overdue", "settled", "cancelled"})


@router.get("/receivables", response_model=page_of(ReceivableRow))
async def list_receivables(
    reading: Receivables,
    paging: Pages,
    created_on: Annotated[Days, Depends(days("created_on"))],
    status: Literal["open", "settled", "cancelled"] | None = None,
    party_id: PartyKey | None = None,
    document_id: SaleKey | None = None,
) -> Any:
    """The titles, the newest first."""
    rows = await receivables(
        reading.connection,
        reading.company_id,
        status=status,
        party_id=party_id,
        document_id=document_id,
        created_on=created_on,
        after=paging.after,
        limit=paging.limit + 1,
    )
    return shown_page(paging.page(reading, rows, key=lambda row: (row.created_on, row.id)))


@router.get("/receivables/{receivable_id}", response_model=shape_of(ReceivableDetail))
async def show_receivable(reading: Titles, receivable_id: ReceivableKey, response: Response) -> Any:
    """One title with its instalments and settlements."""
    row = found(await receivable(reading.connection, reading.company_id, receivable_id, today=reading.today))
    response.headers["ETag"] = f'"{row.version}"'
    return shown(row)


@router.get("/receivables/{receivable_id}/history", response_model=HISTORY)
async def receivable_history(reading: Trail, paging: Pages, receivable_id: ReceivableKey) -> Any:
    """What happened with a title."""
    return await history(reading, paging, receivable_id)


@router.get("/instalments", response_model=page_of(InstalmentRow))
async def list_instalments(
    reading: Instalments,
    paging: Pages,
    due_date: Annotated[Days, Depends(days("due_date"))],
    status: InstalmentStatus | None = None,
    status_in: Annotated[
        str | None, Query(alias="status[in]", description="Several, with commas: `open,overdue`.")
    ] = None,
    party_id: PartyKey | None = None,
    document_id: SaleKey | None = None,
    receivable_id: ReceivableKey | None = None,
) -> Any:
    """The instalments by due date. `open` is what is not yet due; what fell due is `overdue`."""
    statuses = choices("status[in]", status_in, _STATUSES) or (() if status is None else (status,))
    rows = await instalments(
        reading.connection,
        reading.company_id,
        today=reading.today,
        statuses=statuses,
        due_date=due_date,
        party_id=party_id,
        document_id=document_id,
        receivable_id=receivable_id,
        after=paging.after,
        limit=paging.limit + 1,
    )
    return shown_page(paging.page(reading, rows, key=lambda row: (row.due_date, row.id)))


@router.get("/instalments/{instalment_id}", response_model=shape_of(InstalmentRow))
async def show_instalment(reading: Instalments, instalment_id: InstalmentKey, response: Response) -> Any:
    """One instalment."""
    row = found(await instalment(reading.connection, reading.company_id, instalment_id, today=reading.today))
    response.headers["ETag"] = f'"{row.version}"'
    return shown(row)


@router.get("/instalments/{instalment_id}/history", response_model=HISTORY)
async def instalment_history(reading: Payments, paging: Pages, instalment_id: InstalmentKey) -> Any:
    """The payments of an instalment, and their reversals."""
    found(await instalment(reading.connection, reading.company_id, instalment_id, today=reading.today))
    return await events_of(reading, paging, instalment_id)


@router.get("/settlements", response_model=page_of(SettlementRow))
async def list_settlements(
    reading: Settlements,
    paging: Pages,
    paid_on: Annotated[Days, Depends(days("paid_on"))],
    receivable_id: ReceivableKey | None = None,
    instalment_id: InstalmentKey | None = None,
    bank_account_id: BankAccountKey | None = None,
) -> Any:
    """The payments as they were recorded, those reversed since included."""
    rows = await settlements(
        reading.connection,
        reading.company_id,
        receivable_id=receivable_id,
        instalment_id=instalment_id,
        bank_account_id=bank_account_id,
        paid_on=paid_on,
        after=paging.after,
        limit=paging.limit + 1,
    )
    return shown_page(paging.page(reading, rows, key=lambda row: (row.position, row.id)))


@router.get("/settlements/{settlement_id}", response_model=shape_of(SettlementRow))
async def show_settlement(reading: Settlements, settlement_id: SettlementKey) -> Any:
    """One payment."""
    return shown(found(await settlement(reading.connection, reading.company_id, settlement_id)))


@router.get("/settlements/{settlement_id}/history", response_model=HISTORY)
async def settlement_history(reading: Trail, paging: Pages, settlement_id: SettlementKey) -> Any:
    """What happened with a payment."""
    return await history(reading, paging, settlement_id)
