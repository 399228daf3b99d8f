"""The income statement (DRE), from ledger lines, in any layout, for any days, as known at any moment.

Every figure is credits minus debits: income is positive, what reduces the result is negative, and a
subtotal is a plain sum. Each line says which accounts were summed, so that it can be explained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Date, and_, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.known import NOW, KnownAsOf
from read_model.ledger.accounts import RESULT_KINDS, chart_order
from read_model.ledger.accounts import TABLE as ACCOUNTS
from read_model.ledger.layouts import Layout
from read_model.ledger.lines import TABLE as LINES
from read_model.row import Amount

UNASSIGNED = "unassigned"
"""The key of the line for result accounts that the layout does not know."""

_UNASSIGNED_LABELS = {"pt-BR": "Contas fora do leiaute", "en": "Accounts outside the layout"}
_ONE_DAY = timedelta(days=1)
_BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Column:
    """The days one column covers, both included; `label` is its month, or the whole span."""

    label: str
    first: date
    last: date


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """One line: its amount in every column, and its share of net revenue in hundredths of a per cent."""

    key: str
    labels: Mapping[str, str]
    is_sum: bool
    accounts: tuple[str, ...]
    amounts: tuple[Amount, ...]
    shares_bp: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomeStatement:
    """A layout filled in. The last column is the whole span."""

    layout: Layout
    columns: tuple[Column, ...]
    lines: tuple[StatementLine, ...]
    net_income: Amount


async def income_statement(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    layout: Layout,
    first: date,
    last: date,
    by_month: bool = False,
    known: KnownAsOf = NOW,
    currency: str = "BRL",
) -> IncomeStatement:
    """From `first` to `last`, both included; with `by_month`, a column for each month before the whole."""
    columns = (*(_months(first, last) if by_month else ()), Column(f"{first}/{last}", first, last))
    result = await _result_by_account(connection, company_id, first, last, known, currency)
    return _filled(layout, columns, result, by_month, currency)


async def _result_by_account(
    connection: AsyncConnection, company_id: UUID, first: date, last: date, known: KnownAsOf, currency: str
) -> Sequence[Any]:
    """Credits minus debits of every result account, month by month."""
    month = cast(func.date_trunc("month", LINES.c.effective_date), Date)
    signed = case((LINES.c.side == "C", LINES.c.amount_minor), else_=-LINES.c.amount_minor)
    account = and_(ACCOUNTS.c.company_id == company_id, ACCOUNTS.c.code == LINES.c.account_code)
    question = (
        select(LINES.c.account_code, month.label("month"), cast(func.sum(signed), BigInteger).label("minor"))
        .join(ACCOUNTS, account)
        .where(
            LINES.c.company_id == company_id,
            LINES.c.effective_date.between(first, last),
            LINES.c.currency == currency,
            ACCOUNTS.c.kind.in_(RESULT_KINDS),
            *known.within(LINES),
        )
        .group_by(LINES.c.account_code, month)
    )
    return (await connection.execute(question)).all()


def _filled(
    layout: Layout, columns: tuple[Column, ...], result: Sequence[Any], by_month: bool, currency: str
) -> IncomeStatement:
    months = {column.first.replace(day=1): at for at, column in enumerate(columns[:-1])}
    sums = {line.key: [0] * len(columns) for line in layout.lines} | {UNASSIGNED: [0] * len(columns)}
    accounts: dict[str, set[str]] = {key: set() for key in sums}
    for row in result:
        key = layout.line_of(row.account_code) or UNASSIGNED
        accounts[key].add(row.account_code)
        sums[key][-1] += row.minor
        if by_month:
            sums[key][months[row.month]] += row.minor
    for line in layout.lines:
        for part in line.sum_of:
            sums[line.key] = [whole + some for whole, some in zip(sums[line.key], sums[part], strict=True)]
            accounts[line.key] |= accounts[part]
    labels = {line.key: (line.labels, bool(line.sum_of)) for line in layout.lines}
    if accounts[UNASSIGNED]:
        labels[UNASSIGNED] = (_UNASSIGNED_LABELS, False)
    net = sums[layout.lines[-1].key][-1] + sums[UNASSIGNED][-1]
    lines = tuple(
        StatementLine(
            key=key,
            labels=texts,
            is_sum=is_sum,
            accounts=tuple(sorted(accounts[key], key=chart_order)),
            amounts=tuple(Amount(minor, currency) for minor in sums[key]),
            shares_bp=tuple(map(_share, sums[key], sums[layout.share_of])),
        )
        for key, (texts, is_sum) in labels.items()
    )
    return IncomeStatement(layout=layout, columns=columns, lines=lines, net_income=Amount(net, currency))


def _share(part: int, whole: int) -> int | None:
    """Hundredths of a per cent, half-up; none of nothing."""
    if whole <= 0:
        return None
    rounded = (2 * abs(part) * _BASIS_POINTS + whole) // (2 * whole)
    return -rounded if part < 0 else rounded


def _months(first: date, last: date) -> Sequence[Column]:
    columns = []
    start = first
    while start <= last:
        following = date(start.year + start.month // 12, start.month % 12 + 1, 1)
        columns.append(Column(f"{start:%Y-%m}", start, min(last, following - _ONE_DAY)))
        start = following
    return columns
