"""What the company's books say about imported sales, read back through the query endpoints, page by page.

Only sales of this import are counted: a company may have others.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from runtime.marketplace.expected import Expected, Sums
from write_model.ledger.default_chart import DEFAULT_POSTING_ACCOUNTS
from write_model.values.money import Money

_POSTING = {posting.role: posting.code for posting in DEFAULT_POSTING_ACCOUNTS}
REVENUE = "3.1"
"""Gross revenue: all accounts below it."""
SURCHARGES = _POSTING["surcharge_income"]
DISCOUNTS = _POSTING["sales_discounts"]


class Reads(Protocol):
    """The query endpoints."""

    def rows(self, path: str, parameters: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Every row of a list, as it stands after everything that was sent."""
        ...


@dataclass(frozen=True, slots=True)
class SaleInBooks:
    """One sale as it stands; amounts in centavos."""

    status: str
    total: int


@dataclass(slots=True)
class Books:
    """The same figures as `Expected`, from the other side."""

    sales: dict[str, SaleInBooks] = field(default_factory=dict)
    revenue: Sums = field(default_factory=Counter)
    surcharges: Sums = field(default_factory=Counter)
    discounts: Sums = field(default_factory=Counter)
    payments: Sums = field(default_factory=Counter)
    settled_by_sale: Sums = field(default_factory=Counter)
    settled: int = 0
    open: int = 0


def read_books(reads: Reads, expected: Expected) -> Books:
    """Ask for everything the expected sales have left behind."""
    books = Books()
    for row in reads.rows("/v1/sales", {}):
        if row["id"] in expected.sales:
            books.sales[row["id"]] = SaleInBooks(row["status"], _minor(row["total"]))
    for account, sums, sign in (
        (REVENUE, books.revenue, 1),
        (SURCHARGES, books.surcharges, 1),
        (DISCOUNTS, books.discounts, -1),
    ):
        for row in reads.rows("/v1/ledger/lines", {"account": account}):
            if row["document"]["kind"] == "sale" and row["document"]["id"] in expected.sales:
                credit = _minor(row["amount"]) * (1 if row["side"] == "C" else -1)
                sums[row["effective_date"][:7]] += sign * credit
    for row in reads.rows("/v1/instalments", {}):
        sale = expected.receivables.get(row["receivable_id"])
        if sale is not None and row["status"] != "cancelled":
            amount, still_open = _minor(row["amount"]), _minor(row["open_amount"])
            books.payments[row["method"]] += amount
            books.settled += amount - still_open
            books.settled_by_sale[sale] += amount - still_open
            books.open += still_open
    return books


def _minor(amount: dict[str, str]) -> int:
    return Money.parse(amount["amount"], amount["currency"]).minor
