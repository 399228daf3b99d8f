"""Folds sales and payments into the figures of the dashboard, once into SQL and once into Redis."""

from collections.abc import Iterator
from datetime import date

from projections.batch import Batch, RedisBatch
from projections.projector import RedisProjection, SqlProjection, on
from read_model.sales.dashboard import CURRENCY_FIELD, TABLE, VIEW, amount_field, count_field
from write_model.message import Recorded
from write_model.sales.events import SaleCancelled, SaleConfirmed
from write_model.settlement.events import (
    InstalmentSettled,
    ReceivableCancelled,
    ReceivableCreated,
    SettlementReversed,
)

Change = tuple[str, int, int]
"""A figure, how much its count changes, and by how many centavos its amount does."""

SaleFact = SaleConfirmed | SaleCancelled
MoneyFact = ReceivableCreated | ReceivableCancelled | InstalmentSettled | SettlementReversed


class SalesDashboard(SqlProjection):
    """One row per figure."""

    name = "sales_dashboard"
    version = 1
    klass = "dashboard"
    tables = (TABLE,)

    @on(SaleConfirmed, SaleCancelled)
    def sold(self, batch: Batch, recorded: Recorded, fact: SaleFact) -> None:
        self._add(batch, sale_changes(fact), fact.totals.total.currency)

    @on(ReceivableCreated, ReceivableCancelled, InstalmentSettled, SettlementReversed)
    def owed_or_paid(self, batch: Batch, recorded: Recorded, fact: MoneyFact) -> None:
        self._add(batch, money_changes(fact), _currency(fact))

    def _add(self, batch: Batch, changes: Iterator[Change], currency: str) -> None:
        for figure, count, minor in changes:
            amounts = {"count": count, "amount_minor": minor}
            batch.add(TABLE, key={"figure": figure}, add=amounts, set={"currency": currency})


class SalesDashboardView(RedisProjection):
    """The same figures as fields of one hash per company."""

    name = VIEW
    version = 1
    twin = SalesDashboard.name

    @on(SaleConfirmed, SaleCancelled)
    def sold(self, batch: RedisBatch, recorded: Recorded, fact: SaleFact) -> None:
        self._add(batch, recorded, sale_changes(fact), fact.totals.total.currency)

    @on(ReceivableCreated, ReceivableCancelled, InstalmentSettled, SettlementReversed)
    def owed_or_paid(self, batch: RedisBatch, recorded: Recorded, fact: MoneyFact) -> None:
        self._add(batch, recorded, money_changes(fact), _currency(fact))

    def _add(self, batch: RedisBatch, recorded: Recorded, changes: Iterator[Change], currency: str) -> None:
        view = str(recorded.company_id)
        batch.store(view, CURRENCY_FIELD, currency)
        for figure, count, minor in changes:
            batch.increment(view, count_field(figure), count)
            batch.increment(view, amount_field(figure), minor)


def sale_changes(fact: SaleFact) -> Iterator[Change]:
    """What a confirmation adds, and a cancellation of a confirmed sale takes back from the same day."""
    if fact.confirmed_on is None:
        return
    sign = 1 if isinstance(fact, SaleConfirmed) else -1
    day, month = fact.confirmed_on, _month(fact.confirmed_on)
    total = sign * fact.totals.total.minor
    yield f"sales/{day}", sign, total
    yield f"sales/{month}", sign, total
    yield f"cost/{month}", sign, sign * fact.cost.minor
    if isinstance(fact, SaleConfirmed):
        for payment in fact.payment_plan:
            yield f"agreed/{month}/{payment.method}", 1, payment.amount.minor


def money_changes(fact: MoneyFact) -> Iterator[Change]:
    """What customers owe, and what was received."""
    match fact:
        case ReceivableCreated():
            yield "open", 1, fact.total.minor
        case ReceivableCancelled():
            yield "open", -1, -sum(item.amount.minor for item in fact.released)
        case InstalmentSettled() | SettlementReversed():
            sign = 1 if isinstance(fact, InstalmentSettled) else -1
            gross = sign * fact.amounts.gross.minor
            yield "open", 0, -sign * fact.amounts.principal.minor
            yield "received", sign, gross
            yield f"received/{_month(fact.paid_on)}", sign, gross


def _currency(fact: MoneyFact) -> str:
    match fact:
        case ReceivableCreated():
            return fact.total.currency
        case ReceivableCancelled():
            return fact.released[0].amount.currency
        case InstalmentSettled() | SettlementReversed():
            return fact.amounts.gross.currency


def _month(day: date) -> str:
    return f"{day:%Y-%m}"
