"""The trial balance: every account with its opening balance, movement and closing balance.

Summed from ledger lines each time it is asked, which is why it works for any days and as known at any
moment. Balances are debits minus credits: positive is a debit balance, negative a credit balance.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.known import NOW, KnownAsOf
from read_model.ledger.accounts import AccountRow, chart_order, groups_of, ledger_accounts
from read_model.ledger.lines import TABLE as LINES
from read_model.row import Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBalanceRow:
    """One account, or a group with all below it. opening + debits - credits = closing."""

    account_code: str
    account_name: str
    kind: str | None
    side: str | None
    leaf: bool
    opening: Amount
    debits: Amount
    credits: Amount
    closing: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBalanceTotals:
    """Over all leaves. The books are in balance when debits equal credits and the balances sum to zero."""

    opening: Amount
    debits: Amount
    credits: Amount
    closing: Amount
    in_balance: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBalance:
    """The rows in the order of the chart, and one total for each currency."""

    effective_from: date | None
    effective_to: date
    rows: tuple[TrialBalanceRow, ...]
    totals: tuple[TrialBalanceTotals, ...]


@dataclass(slots=True)
class _Sums:
    name: str
    leaf: bool
    opening: int = 0
    debits: int = 0
    credits: int = 0

    def add(self, opening: int, debits: int, credits: int) -> None:  # noqa: A002 - the word of the trade
        self.opening += opening
        self.debits += debits
        self.credits += credits

    @property
    def closing(self) -> int:
        return self.opening + self.debits - self.credits


async def trial_balance(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    effective_from: date | None = None,
    effective_to: date,
    known: KnownAsOf = NOW,
) -> TrialBalance:
    """From `effective_from` (without it: since the books began) to `effective_to`, both days included."""
    chart = {account.code: account for account in await ledger_accounts(connection, company_id)}
    sums: dict[tuple[str, str], _Sums] = {}
    totals: dict[str, _Sums] = {}
    for row in await _leaves(connection, company_id, effective_from, effective_to, known):
        moved = (row.opening, row.debits, row.credits)
        sums[row.currency, row.account_code] = leaf = _Sums(row.account_name, True)
        leaf.add(*moved)
        for code in groups_of(row.account_code):
            group = sums.setdefault((row.currency, code), _Sums(code, False))
            group.add(*moved)
        totals.setdefault(row.currency, _Sums("", False)).add(*moved)
    return TrialBalance(
        effective_from=effective_from,
        effective_to=effective_to,
        rows=tuple(_rows(sums, chart)),
        totals=tuple(_total(total, currency) for currency, total in sorted(totals.items())),
    )


async def _leaves(
    connection: AsyncConnection, company_id: UUID, first: date | None, last: date, known: KnownAsOf
) -> Sequence[Any]:
    """Opening, debits and credits of every account that has lines, in one pass over them."""
    amount, side, day = LINES.c.amount_minor, LINES.c.side, LINES.c.effective_date
    before = literal(False) if first is None else day < first

    def summed(*conditions: Any) -> Any:
        return cast(func.coalesce(func.sum(amount).filter(*conditions), 0), BigInteger)

    question = (
        select(
            LINES.c.account_code,
            LINES.c.currency,
            func.max(LINES.c.account_name).label("account_name"),
            (summed(before, side == "D") - summed(before, side == "C")).label("opening"),
            summed(~before, side == "D").label("debits"),
            summed(~before, side == "C").label("credits"),
        )
        .where(LINES.c.company_id == company_id, day <= last, *known.within(LINES))
        .group_by(LINES.c.account_code, LINES.c.currency)
    )
    return (await connection.execute(question)).all()


def _rows(
    sums: Mapping[tuple[str, str], _Sums], chart: Mapping[str, AccountRow]
) -> Iterable[TrialBalanceRow]:
    for (currency, code), item in sorted(
        sums.items(), key=lambda pair: (pair[0][0], chart_order(pair[0][1]))
    ):
        account = chart.get(code)
        yield TrialBalanceRow(
            account_code=code,
            account_name=account.name if account else item.name,
            kind=account.kind if account else None,
            side=account.side if account else None,
            leaf=item.leaf,
            opening=Amount(item.opening, currency),
            debits=Amount(item.debits, currency),
            credits=Amount(item.credits, currency),
            closing=Amount(item.closing, currency),
        )


def _total(total: _Sums, currency: str) -> TrialBalanceTotals:
    return TrialBalanceTotals(
        opening=Amount(total.opening, currency),
        debits=Amount(total.debits, currency),
        credits=Amount(total.credits, currency),
        closing=Amount(total.closing, currency),
        in_balance=total.opening == 0 and total.debits == total.credits,
    )
