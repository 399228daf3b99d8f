"""Reports: income statement (DRE) and ageing, on both axes of time, each figure with what explains it."""

import re
from datetime import date
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from api.explain import lines_href
from api.filters import Axes, PartyKey, axes, day, refused
from api.queries import Reading, reads
from api.representation import money, shape_of, shown
from api.shapes import AsOf, MoneyShape, Shape
from read_model.ledger.income_statement import IncomeStatement, StatementLine, income_statement
from read_model.ledger.layouts import layouts
from read_model.settlement.ageing import AgeingRow, ageing
from write_model.values.invalid import Invalid
from write_model.values.period import Period

router = APIRouter(prefix="/v1/reports", tags=["reports"])

Books = Annotated[Reading, reads("ledger_lines", "ledger_accounts", permission="reports.read")]
Ages = Annotated[Reading, reads("settlement_ageing", "parties_directory", permission="reports.read")]
Times = Annotated[Axes, Depends(axes)]

_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}", re.ASCII)
_MONTHS_MAX = 60


class ColumnShape(Shape):
    """One column: a month, or the whole span in the last one."""

    label: str
    first: date
    last: date


class FigureShape(Shape):
    """One figure, its share of net revenue in per cent, and the lines it is the sum of."""

    value: MoneyShape
    share: str | None = Field(examples=["12.34"])
    explain: str | None


class StatementLineShape(Shape):
    """One line; `figures` has one for every column."""

    key: str
    label: str
    is_sum: bool
    accounts: list[str]
    figures: list[FigureShape]


class IncomeStatementShape(Shape):
    """The income statement: income is positive, what reduces the result is negative."""

    layout: str
    layout_version: int
    layout_source: str
    title: str
    basis: Literal["accrual"]
    first: date
    last: date
    known_as_of: str | None
    columns: list[ColumnShape]
    lines: list[StatementLineShape]
    net_income: MoneyShape
    as_of: AsOf


class AgeingShape(Shape):
    """What is owed to us by days late; one total per currency, and one row per party with `by=party`."""

    on: date
    known_as_of: str | None
    totals: list[shape_of(AgeingRow)]  # type: ignore[valid-type]  # made of the row
    parties: list[shape_of(AgeingRow)] | None  # type: ignore[valid-type]
    as_of: AsOf


@router.get("/income-statement", response_model=IncomeStatementShape)
async def show_income_statement(
    reading: Books,
    times: Times,
    first: Annotated[
        str | None, Query(alias="from", description="A day or a month; without it, this month.")
    ] = None,
    last: Annotated[str | None, Query(alias="to", description="A day or a month; without it, today.")] = None,
    layout: Annotated[str, Query(description="`art187` (Law 6.404) or `managerial` (EBITDA).")] = "art187",
    columns: Annotated[Literal["month"] | None, Query(description="Compare month by month.")] = None,
) -> Any:
    """The income statement (DRE) of a span of days."""
    chosen = layouts().get(layout)
    if chosen is None:
        raise refused("layout")
    until = times.effective_to or reading.today
    end = until if last is None else _day_of("to", last, first_day=False)
    start = end.replace(day=1) if first is None else _day_of("from", first, first_day=True)
    if times.effective_to is not None:
        end = min(end, times.effective_to)
    if start > end or (end.year - start.year) * 12 + end.month - start.month >= _MONTHS_MAX:
        raise refused("from")
    made = await income_statement(
        reading.connection,
        reading.company_id,
        layout=chosen,
        first=start,
        last=end,
        by_month=columns is not None,
        known=times.known,
    )
    return {**_statement(made, reading.language, times), "first": start, "last": end, "as_of": reading.as_of}


@router.get("/ageing", response_model=AgeingShape)
async def show_ageing(
    reading: Ages,
    times: Times,
    on: Annotated[str | None, Query(description="The day it is asked for; without it, today.")] = None,
    party_id: PartyKey | None = None,
    by: Literal["party"] | None = None,
) -> Any:
    """What is owed to us, by how late it is on a day, as known at any moment."""
    wanted = (times.effective_to or reading.today) if on is None else day("on", on)
    ask = partial(
        ageing, reading.connection, reading.company_id, on=wanted, known=times.known, party_id=party_id
    )
    totals = await ask()
    parties = None if by is None else await ask(by_party=True)
    return {
        "on": wanted,
        "known_as_of": times.known_as_of,
        "totals": [shown(row) for row in totals],
        "parties": None if parties is None else [shown(row) for row in parties],
        "as_of": reading.as_of,
    }


def _statement(made: IncomeStatement, language: str, times: Axes) -> dict[str, Any]:
    return {
        "layout": made.layout.name,
        "layout_version": made.layout.version,
        "layout_source": made.layout.source,
        "title": made.layout.titles[language],
        "basis": "accrual",
        "known_as_of": times.known_as_of,
        "columns": [
            {"label": column.label, "first": column.first, "last": column.last} for column in made.columns
        ],
        "lines": [_line(made, line, language, times.known_as_of) for line in made.lines],
        "net_income": money(made.net_income),
    }


def _line(
    made: IncomeStatement, line: StatementLine, language: str, known_as_of: str | None
) -> dict[str, Any]:
    return {
        "key": line.key,
        "label": line.labels[language],
        "is_sum": line.is_sum,
        "accounts": line.accounts,
        "figures": [
            {
                "value": money(amount),
                "share": None if share is None else _per_cent(share),
                # Without accounts there is nothing to explain, and a link would lead to all lines.
                "explain": lines_href(
                    line.accounts, first=column.first, last=column.last, known_as_of=known_as_of
                )
                if line.accounts
                else None,
            }
            for column, amount, share in zip(made.columns, line.amounts, line.shares_bp, strict=True)
        ],
    }


def _per_cent(basis_points: int) -> str:
    whole, hundredths = divmod(abs(basis_points), 100)
    return f"{'-' if basis_points < 0 else ''}{whole}.{hundredths:02d}"


def _day_of(parameter: str, text: str, *, first_day: bool) -> date:
    """A day as it is; of a month its first or its last."""
    if not _MONTH.fullmatch(text):
        return day(parameter, text)
    try:
        month = Period.parse(text)
    except Invalid:
        raise refused(parameter) from None
    return month.first_day if first_day else month.last_day
