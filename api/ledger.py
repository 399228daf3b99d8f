"""Questions about the books: lines, entries, chart, periods, trial balance."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from api.explain import lines_href
from api.filters import Axes, EntryKey, axes, choices_of_codes, day, days, found
from api.filters import document as document_filter
from api.queries import Paging, Reading, paging, reads
from api.representation import page_of, shape_of, shown, shown_page
from api.shapes import AsOf, Page, Shape
from read_model.ledger.accounts import AccountRow, ledger_accounts
from read_model.ledger.entries import EntryDetail, EntryRow, ledger_entries, ledger_entry
from read_model.ledger.lines import LedgerLineRow, LedgerSum, LineSelection, ledger_lines, ledger_sums
from read_model.ledger.periods import PeriodRow, periods
from read_model.ledger.trial_balance import TrialBalanceRow, TrialBalanceTotals, trial_balance
from read_model.selection import Days
from write_model.values.identifiers import encode

router = APIRouter(prefix="/v1", tags=["ledger"])

_PERMISSION = "ledger.read"

Lines = Annotated[Reading, reads("ledger_lines", permission=_PERMISSION)]
Chart = Annotated[Reading, reads("ledger_accounts", permission=_PERMISSION)]
Calendar = Annotated[Reading, reads("ledger_periods", permission=_PERMISSION)]
Balance = Annotated[Reading, reads("ledger_lines", "ledger_accounts", permission=_PERMISSION)]
Pages = Annotated[Paging, Depends(paging)]
Times = Annotated[Axes, Depends(axes)]
DocumentFilter = Annotated[UUID | None, Depends(document_filter)]
EffectiveDate = Annotated[Days, Depends(days("effective_date"))]


class LinesShape(Page[shape_of(LedgerLineRow, event_url=str)]):  # type: ignore[misc]  # made of the row
    """One page of lines; `sums` of all pages together, only with `include=total`."""

    sums: list[shape_of(LedgerSum)] | None  # type: ignore[valid-type]


class BalanceExplained(Shape):
    """Links to the lines behind each figure of an account; `opening` only when there are days before."""

    opening: str | None
    movement: str
    closing: str


class TrialBalanceShape(Shape):
    """The trial balance. Balances are debits minus credits; `totals` say that the books are in balance."""

    effective_from: date | None
    effective_to: date
    known_as_of: str | None
    rows: list[shape_of(TrialBalanceRow, explain=BalanceExplained)]  # type: ignore[valid-type]
    totals: list[shape_of(TrialBalanceTotals)]  # type: ignore[valid-type]
    as_of: AsOf


@router.get("/ledger/lines", response_model=LinesShape)
async def list_ledger_lines(
    reading: Lines,
    paging: Pages,
    effective_date: EffectiveDate,
    times: Times,
    document_id: DocumentFilter,
    account: Annotated[
        str | None, Query(max_length=60, description="An account and all below it: `3.1`.")
    ] = None,
    account_in: Annotated[
        str | None, Query(alias="account[in]", max_length=8_000, description="Several, with commas.")
    ] = None,
    entry_id: EntryKey | None = None,
    include: Literal["total"] | None = None,
) -> Any:
    """The postings by day; what they add up to with `include=total`."""
    selection = LineSelection(
        accounts=choices_of_codes("account", account, account_in),
        effective_date=effective_date.up_to(times.effective_to),
        document_id=document_id,
        entry_id=entry_id,
        known=times.known,
    )
    rows = await ledger_lines(
        reading.connection, reading.company_id, selection, after=paging.after, limit=paging.limit + 1
    )
    sums = None
    if include is not None:
        sums = await ledger_sums(reading.connection, reading.company_id, selection)
    page = shown_page(
        paging.page(reading, rows, key=lambda row: (row.effective_date, row.position, row.line)), _line
    )
    return {
        "data": page.data,
        "page": page.page,
        "as_of": page.as_of,
        "sums": None if sums is None else [shown(item) for item in sums],
    }


@router.get("/ledger/entries", response_model=page_of(EntryRow, event_url=str))
async def list_ledger_entries(
    reading: Lines,
    paging: Pages,
    effective_date: EffectiveDate,
    times: Times,
    document_id: DocumentFilter,
) -> Any:
    """The entries by day."""
    rows = await ledger_entries(
        reading.connection,
        reading.company_id,
        document_id=document_id,
        effective_date=effective_date.up_to(times.effective_to),
        known=times.known,
        after=paging.after,
        limit=paging.limit + 1,
    )
    page = paging.page(reading, rows, key=lambda row: (row.effective_date, row.position))
    return shown_page(page, lambda row: shown(row, event_url=_event_url(row.event_id)))


@router.get("/ledger/entries/{entry_id}", response_model=shape_of(EntryDetail, event_url=str))
async def show_ledger_entry(reading: Lines, entry_id: EntryKey) -> Any:
    """One entry with its lines."""
    detail = found(await ledger_entry(reading.connection, reading.company_id, entry_id))
    return shown(detail, event_url=_event_url(detail.entry.event_id))


def _code(row: AccountRow) -> tuple[Any, ...]:
    return (row.code,)


def _month(row: PeriodRow) -> tuple[Any, ...]:
    return (row.period,)


@router.get("/ledger/accounts", response_model=page_of(AccountRow))
async def list_ledger_accounts(
    reading: Chart,
    paging: Pages,
    kind: Literal["asset", "liability", "equity", "revenue", "deduction", "cost", "expense"] | None = None,
    leaf: bool | None = None,
    status: Literal["active", "archived"] | None = None,
) -> Any:
    """The chart of accounts."""
    rows = await ledger_accounts(reading.connection, reading.company_id, kind=kind, leaf=leaf, status=status)
    return shown_page(paging.page(reading, paging.cut(rows, _code), key=_code))


@router.get("/periods", response_model=page_of(PeriodRow))
async def list_periods(reading: Calendar, paging: Pages) -> Any:
    """The months, and which of them are closed."""
    rows = await periods(reading.connection, reading.company_id)
    return shown_page(paging.page(reading, paging.cut(rows, _month), key=_month))


@router.get("/ledger/trial-balance", response_model=TrialBalanceShape)
async def show_trial_balance(
    reading: Balance,
    times: Times,
    effective_from: Annotated[
        str | None, Query(description="First day of the movement; without it, since the books began.")
    ] = None,
) -> Any:
    """Every account and group: opening, debits, credits, closing; each with the lines behind it."""
    first = None if effective_from is None else day("effective_from", effective_from)
    last = times.effective_to or reading.today
    found_balance = await trial_balance(
        reading.connection, reading.company_id, effective_from=first, effective_to=last, known=times.known
    )
    rows = [
        shown(row, explain=_explained(row.account_code, first, last, times.known_as_of))
        for row in found_balance.rows
    ]
    return {
        "effective_from": first,
        "effective_to": last,
        "known_as_of": times.known_as_of,
        "rows": rows,
        "totals": [shown(total) for total in found_balance.totals],
        "as_of": reading.as_of,
    }


def _explained(account: str, first: date | None, last: date, known_as_of: str | None) -> dict[str, Any]:
    opening = None if first is None else lines_href([account], before=first, known_as_of=known_as_of)
    return {
        "opening": opening,
        "movement": lines_href([account], first=first, last=last, known_as_of=known_as_of),
        "closing": lines_href([account], last=last, known_as_of=known_as_of),
    }


def _line(row: LedgerLineRow) -> dict[str, Any]:
    return shown(row, event_url=_event_url(row.event_id))


def _event_url(event_id: UUID) -> str:
    return f"/v1/audit/events/{encode('evt', event_id)}"
