"""The list of sales, and what is in each."""

from decimal import Decimal

from read_model.row import Amount
from read_model.sales.orders import sale, sale_numbered, sales
from read_model.selection import Days
from tests.decisions.sales_setting import CUSTOMER, draft, goods, open_shop
from tests.reports.books import Books
from tests.reports.shop import CANCELLED, DRAFT, FIRST, NOVEMBER, OCTOBER, SECOND, busy_shop
from tests.scenario import an_id
from write_model.processes.draft_sale import ChangeSaleLines


def test_sales_are_numbered_as_they_were_recorded(books: Books) -> None:
    company = busy_shop()
    books.fold(company, page=3)
    found = books.ask(sales, limit=10)
    assert [(row.id, row.number, row.status) for row in found] == [
        (DRAFT, 4, "draft"),
        (CANCELLED, 3, "cancelled"),
        (SECOND, 2, "confirmed"),
        (FIRST, 1, "confirmed"),
    ]
    assert {row.customer_name for row in found} == {"Cliente Um"}
    assert books.ask(sale_numbered, 2) == SECOND


def test_a_sale_shows_its_lines_its_payments_and_its_cost(books: Books) -> None:
    books.fold(busy_shop())
    found = books.ask(sale, FIRST)
    assert found is not None
    assert (found.total, found.cost) == (Amount(2000, "BRL"), Amount(600, "BRL"))
    assert [(line.quantity, line.unit_price, line.net) for line in found.lines] == [
        (Decimal(2), Decimal(10), Amount(2000, "BRL"))
    ]
    assert [payment.amount.minor for payment in found.payment_plan] == [1000, 1000]
    assert (found.confirmed_on, found.version) == (OCTOBER, 2)


def test_changed_lines_replace_the_former_ones_on_one_page_or_on_two(books: Books) -> None:
    company = open_shop()
    company.given(draft(goods("1"), goods("2"), goods("3"), sale_id=FIRST))
    books.fold(company)
    company.given(draft(goods("1"), goods("2"), sale_id=SECOND))
    for changed in (FIRST, SECOND):
        company.given(ChangeSaleLines(sale_id=changed, lines=(goods("7"),)))
    books.fold(company)
    for changed in (FIRST, SECOND):
        found = books.ask(sale, changed)
        assert found is not None
        assert [line.quantity for line in found.lines] == [Decimal(7)]


def test_sales_are_found_by_what_is_known_of_them(books: Books) -> None:
    books.fold(busy_shop())
    confirmed = books.ask(sales, status="confirmed", customer_id=CUSTOMER, limit=10)
    assert [row.id for row in confirmed] == [SECOND, FIRST]
    assert [row.id for row in books.ask(sales, confirmed_on=Days(end=NOVEMBER), limit=10)] == [FIRST]
    assert [row.id for row in books.ask(sales, number=3, limit=10)] == [CANCELLED]
    assert books.ask(sales, customer_id=an_id("nobody"), limit=10) == []


def test_a_list_goes_on_where_the_page_before_ended(books: Books) -> None:
    books.fold(busy_shop())
    first = books.ask(sales, limit=2)
    rest = books.ask(sales, after=(first[-1].number,), limit=2)
    assert [row.number for row in [*first, *rest]] == [4, 3, 2, 1]
