"""Source and books side by side: equal when they are, and each centavo named when they are not."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from runtime.marketplace import run
from runtime.marketplace.books import read_books
from runtime.marketplace.expected import Expected, expected
from runtime.marketplace.mapping import Plan
from runtime.marketplace.read import read
from runtime.marketplace.reconcile import Difference, Reconciliation, reconcile
from tests.marketplace.exports import ExportFolder, small
from write_model.settlement.receivable import instalment_id, receivable_id_for
from write_model.values.identifiers import encode

COMPANY = UUID("019363d2-7a00-7000-8000-000000000001")
UNTIL = date(2017, 12, 31)
Row = dict[str, Any]


class FakeBooks:
    """The lists of the API as they should look after an import; tests falsify them."""

    def __init__(self, plans: list[Plan]) -> None:
        self.lists: dict[str, list[Row]] = {"/v1/sales": [], "3.1": [], "3.3.1.03": [], "3.2.1.02": []}
        self.lists["/v1/instalments"] = []
        for plan in plans:
            self._sale(plan)

    def rows(self, path: str, parameters: dict[str, str]) -> Iterator[Row]:
        yield from self.lists[parameters.get("account", path)]

    def _sale(self, plan: Plan) -> None:
        sale = encode("sal", plan.sale_id)
        self.lists["/v1/sales"].append({"id": sale, "status": plan.outcome, "total": money(plan.total)})
        if plan.outcome != "confirmed":
            return
        for account, side, amount in (
            ("3.1", "C", plan.goods),
            ("3.1", "C", plan.freight),
            ("3.3.1.03", "C", max(plan.difference, 0)),
            ("3.2.1.02", "D", max(-plan.difference, 0)),
        ):
            if amount:
                self.lists[account].append(
                    {
                        "document": {"kind": "sale", "id": sale},
                        "side": side,
                        "amount": money(amount),
                        "effective_date": plan.order.confirmed_on.isoformat(),
                    }
                )
        title = receivable_id_for(plan.sale_id)
        for part in plan.parts:
            self.lists["/v1/instalments"].append(
                {
                    "id": encode("ins", instalment_id(title, part.number)),
                    "receivable_id": encode("rcv", title),
                    "method": part.method,
                    "status": "settled" if part.settled else "overdue",
                    "amount": money(part.amount),
                    "open_amount": money(0 if part.settled else part.amount),
                }
            )


def money(centavos: int) -> dict[str, str]:
    return {"amount": f"{centavos // 100}.{centavos % 100:02d}", "currency": "BRL"}


def varied(directory: Path) -> ExportFolder:
    """Every kind of order."""
    export = small(directory)
    export.order("o2", status="shipped")
    export.item("o2", 1, price="200.00", freight="0")
    export.payment("o2", "201.00", method="credit_card", instalments=5)
    export.order("o3", approved="2017-11-30 10:00:00")
    export.item("o3")
    export.payment("o3", "60.00", method="voucher", number=1)
    export.payment("o3", "49.99", method="debit_card", number=2)
    export.order("o4", status="canceled")
    export.item("o4")
    export.payment("o4")
    export.order("o5", status="created", approved="")
    return export


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Expected, FakeBooks]:
    """What the source says, and books that say the same."""
    export = read(varied(tmp_path / "olist").write())
    run.drop_unfit(COMPANY, export, UNTIL)
    assert export.refused == []
    plans = [*run.plans(COMPANY, export, UNTIL)]
    return expected(plans), FakeBooks(plans)


def proof(sides: tuple[Expected, FakeBooks]) -> Reconciliation:
    source, books = sides
    return reconcile(source, read_books(books, source))


def test_equal_sides_differ_in_nothing(sides: tuple[Expected, FakeBooks]) -> None:
    answer = proof(sides).as_json()
    assert answer == {
        "orders": {"canceled": 1, "created": 1, "delivered": 2, "shipped": 1},
        "revenue_by_month": {
            "2017-10": {"source": "310.00", "books": "310.00"},
            "2017-11": {"source": "110.00", "books": "110.00"},
        },
        "payments_by_type": {
            "boleto": {"source": "110.00", "books": "110.00"},
            "credit_card": {"source": "201.00", "books": "201.00"},
            "debit_card": {"source": "49.99", "books": "49.99"},
            "voucher": {"source": "60.00", "books": "60.00"},
        },
        "receivables": {"settled": "300.39", "open": "120.60"},
        "differences": [],
        "rows_refused": [],
        "orders_in_books": {"canceled": 1, "created": 1, "delivered": 2, "shipped": 1},
        "surcharges_by_month": {"2017-10": {"source": "1.00", "books": "1.00"}},
        "discounts_by_month": {"2017-11": {"source": "0.01", "books": "0.01"}},
        "receivables_expected": {"settled": "300.39", "open": "120.60"},
    }
    assert [*answer][:6] == [
        "orders",
        "revenue_by_month",
        "payments_by_type",
        "receivables",
        "differences",
        "rows_refused",
    ]


def test_other_sales_of_the_company_do_not_count(sides: tuple[Expected, FakeBooks]) -> None:
    books = sides[1].lists
    other = encode("sal", UUID(int=7))
    books["/v1/sales"].append({"id": other, "status": "confirmed", "total": money(5)})
    books["3.1"].append({**books["3.1"][0], "document": {"kind": "sale", "id": other}})
    books["3.1"].append({**books["3.1"][0], "document": {"kind": "journal_entry", "id": "x"}})
    books["/v1/instalments"].append(
        {**books["/v1/instalments"][0], "receivable_id": encode("rcv", UUID(int=7))}
    )
    assert proof(sides).differences == []


def test_one_centavo_of_revenue_is_named(sides: tuple[Expected, FakeBooks]) -> None:
    sides[1].lists["3.1"][0]["amount"] = money(9999)
    assert proof(sides).differences == [Difference("revenue", "2017-10", "310.00", "309.99")]


def test_a_reversed_posting_is_named(sides: tuple[Expected, FakeBooks]) -> None:
    lines = sides[1].lists["3.1"]
    lines.append({**lines[0], "side": "D", "effective_date": "2018-01-05"})
    assert proof(sides).differences == [Difference("revenue", "2018-01", "0.00", "-100.00")]


def test_a_missing_sale_is_named(sides: tuple[Expected, FakeBooks]) -> None:
    del sides[1].lists["/v1/sales"][0]
    found = proof(sides)
    assert [(d.what, d.source, d.books) for d in found.differences] == [("order", "confirmed", "missing")]
    assert sum(found.orders_in_books.values()) == 4


def test_a_sale_in_another_state_is_named(sides: tuple[Expected, FakeBooks]) -> None:
    sale = next(row for row in sides[1].lists["/v1/sales"] if row["status"] == "cancelled")
    sale["status"] = "draft"
    assert proof(sides).differences == [Difference("order", "o4", "cancelled", "draft")]


def test_a_payment_too_many_is_named_with_its_order(sides: tuple[Expected, FakeBooks]) -> None:
    rows = [row for row in sides[1].lists["/v1/instalments"] if row["open_amount"] != money(0)]
    rows[0]["open_amount"] = money(0)
    assert proof(sides).differences == [
        Difference("order settled", "o2", "80.40", "120.60"),
        Difference("receivables", "open", "120.60", "80.40"),
        Difference("receivables", "settled", "300.39", "340.59"),
    ]


def test_a_payment_by_another_method_is_named(sides: tuple[Expected, FakeBooks]) -> None:
    row = next(row for row in sides[1].lists["/v1/instalments"] if row["method"] == "voucher")
    row["method"] = "pix"
    assert proof(sides).differences == [
        Difference("payments", "pix", "0.00", "60.00"),
        Difference("payments", "voucher", "60.00", "0.00"),
    ]
