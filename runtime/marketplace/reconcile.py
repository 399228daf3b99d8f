"""Source and books side by side: every figure of an import, and each that differs by a centavo."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from runtime.marketplace.books import Books
from runtime.marketplace.expected import Expected, Sums
from runtime.marketplace.rows import RowRefused

Pair = dict[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same on both sides."""

    what: str
    key: str
    source: str
    books: str


@dataclass(slots=True)
class Reconciliation:
    """The figures of both sides; money as text."""

    orders: dict[str, int]
    orders_in_books: dict[str, int]
    revenue_by_month: dict[str, Pair]
    payments_by_type: dict[str, Pair]
    surcharges_by_month: dict[str, Pair]
    discounts_by_month: dict[str, Pair]
    receivables: dict[str, str]
    receivables_expected: dict[str, str]
    differences: list[Difference]
    rows_refused: list[RowRefused] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The promised object; new keys are added after these."""
        return {
            "orders": self.orders,
            "revenue_by_month": self.revenue_by_month,
            "payments_by_type": self.payments_by_type,
            "receivables": self.receivables,
            "differences": [
                {"what": d.what, "key": d.key, "source": d.source, "books": d.books} for d in self.differences
            ],
            "rows_refused": [{"file": r.file, "line": r.line, "reason": r.reason} for r in self.rows_refused],
            "orders_in_books": self.orders_in_books,
            "surcharges_by_month": self.surcharges_by_month,
            "discounts_by_month": self.discounts_by_month,
            "receivables_expected": self.receivables_expected,
        }


def reconcile(expected: Expected, books: Books) -> Reconciliation:
    """Lay both sides next to each other."""
    found = dict.fromkeys(sorted(expected.orders), 0)
    for sale, want in expected.sales.items():
        found[want.status] += sale in books.sales and books.sales[sale].status == want.outcome
    return Reconciliation(
        orders=dict(sorted(expected.orders.items())),
        orders_in_books=found,
        revenue_by_month=_pairs(expected.revenue, books.revenue),
        payments_by_type=_pairs(expected.payments, books.payments),
        surcharges_by_month=_pairs(expected.surcharges, books.surcharges),
        discounts_by_month=_pairs(expected.discounts, books.discounts),
        receivables={"settled": text(books.settled), "open": text(books.open)},
        receivables_expected={"settled": text(expected.settled), "open": text(expected.open)},
        differences=[*_differences(expected, books)],
    )


def _differences(expected: Expected, books: Books) -> Iterator[Difference]:
    for sale, want in expected.sales.items():
        have = books.sales.get(sale)
        if have is None:
            yield Difference("order", want.order_id, want.outcome, "missing")
            continue
        if have.status != want.outcome:
            yield Difference("order", want.order_id, want.outcome, have.status)
        if have.total != want.total:
            yield Difference("order total", want.order_id, text(want.total), text(have.total))
        if books.settled_by_sale[sale] != want.settled:
            yield Difference(
                "order settled", want.order_id, text(want.settled), text(books.settled_by_sale[sale])
            )
    for what, source, other in (
        ("revenue", expected.revenue, books.revenue),
        ("surcharges", expected.surcharges, books.surcharges),
        ("discounts", expected.discounts, books.discounts),
        ("payments", expected.payments, books.payments),
        (
            "receivables",
            {"settled": expected.settled, "open": expected.open},
            {"settled": books.settled, "open": books.open},
        ),
    ):
        for key in sorted(source.keys() | other.keys()):
            if source.get(key, 0) != other.get(key, 0):
                yield Difference(what, key, text(source.get(key, 0)), text(other.get(key, 0)))


def _pairs(source: Sums, books: Sums) -> dict[str, Pair]:
    keys = sorted(source.keys() | books.keys())
    return {key: {"source": text(source[key]), "books": text(books[key])} for key in keys}


def text(centavos: int) -> str:
    """An amount as it is written on the wire."""
    whole, cents = divmod(abs(centavos), 100)
    return f"{'-' if centavos < 0 else ''}{whole}.{cents:02d}"
