"""Stock levels."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from read_model.row import Amount
from read_model.stock.levels import average_cost, stock_levels
from tests.decisions.sales_setting import GOODS, open_shop
from tests.reports.books import Books
from tests.reports.shop import busy_shop
from write_model.processes.receive_stock import ReceiveStock
from write_model.values.money import Money
from write_model.values.quantity import Quantity, UnitPrice


def test_levels_show_what_is_left_and_what_it_is_worth(books: Books) -> None:
    books.fold(busy_shop(), page=4)
    (level,) = books.ask(stock_levels, limit=10)
    assert (level.product_id, level.sku) == (GOODS, "G-1")
    assert (level.on_hand, level.value) == (Decimal(95), Amount(28500, "BRL"))
    assert level.average_cost == Decimal(3)


def test_the_average_cost_moves_with_receipts(books: Books) -> None:
    company = open_shop(stock="10", unit_cost="3.00")
    quantity, cost = Quantity.parse("5"), UnitPrice.parse("4.00")
    company.given(ReceiveStock(product_id=GOODS, quantity=quantity, unit_cost=cost))
    books.fold(company)
    (level,) = books.ask(stock_levels, product_id=GOODS, limit=10)
    assert level.average_cost == Decimal("3.3333333333")


def test_nothing_on_hand_costs_nothing() -> None:
    assert average_cost(0, Decimal(0)) is None


# A unit at least: a hundredth of one for so much would be no price any more.
@given(minor=st.integers(1, 10**12), scaled=st.integers(10**4, 10**12))
def test_the_average_cost_is_rounded_as_the_write_model_rounds(minor: int, scaled: int) -> None:
    quantity = Quantity.of_scaled(scaled)
    assert average_cost(minor, quantity.value) == Money(minor).per_unit(quantity).value
