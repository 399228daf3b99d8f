"""What the books must say once an export is in them, summed up from the source alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from runtime.marketplace.mapping import Plan
from runtime.marketplace.read import NO_METHOD
from write_model.settlement.receivable import receivable_id_for
from write_model.values.identifiers import encode

Sums = Counter[str]
"""Centavos by month or by kind."""


@dataclass(frozen=True, slots=True)
class ExpectedSale:
    """One order; amounts in centavos."""

    order_id: str
    status: str
    outcome: str
    total: int
    settled: int


@dataclass(slots=True)
class Expected:
    """The whole export; revenue and payments are those of confirmed orders."""

    sales: dict[str, ExpectedSale] = field(default_factory=dict)
    """By the id of the sale."""
    receivables: dict[str, str] = field(default_factory=dict)
    """The id of the sale by that of its receivable; of confirmed orders only."""
    orders: Counter[str] = field(default_factory=Counter)
    revenue: Sums = field(default_factory=Counter)
    surcharges: Sums = field(default_factory=Counter)
    discounts: Sums = field(default_factory=Counter)
    payments: Sums = field(default_factory=Counter)
    settled: int = 0
    open: int = 0


def expected(plans: Iterable[Plan]) -> Expected:
    """Add the plans up."""
    found = Expected()
    for plan in plans:
        order = plan.order
        found.orders[order.status] += 1
        settled = sum(part.amount for part in plan.parts if part.settled)
        sale = encode("sal", plan.sale_id)
        found.sales[sale] = ExpectedSale(order.order_id, order.status, plan.outcome, plan.total, settled)
        if plan.outcome != "confirmed":
            continue
        month = order.confirmed_on.strftime("%Y-%m")
        found.revenue[month] += plan.goods + plan.freight
        if plan.difference > 0:
            found.surcharges[month] += plan.difference
        if plan.difference < 0:
            found.discounts[month] -= plan.difference
        # From the rows themselves, not from the instalments made of them: that is what is to be proved.
        for payment in order.payments:
            if payment.method != NO_METHOD:
                found.payments[payment.method] += payment.value
        found.settled += settled
        found.open += plan.total - settled
        if plan.parts:
            found.receivables[encode("rcv", receivable_id_for(plan.sale_id))] = sale
    return found
