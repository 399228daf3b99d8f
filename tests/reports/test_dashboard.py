"""The dashboard: the same from SQL and from Redis, and equal to what the lists say."""

from datetime import date
from typing import cast, get_args
from uuid import uuid4

import pytest

from read_model.cache import View, Views
from read_model.sales.dashboard import METHODS, dashboard, figures, figures_cached
from read_model.treasury.bank_accounts import bank_accounts_cached
from tests.reports.books import Books
from tests.reports.shop import busy_shop
from write_model.sales.events import PaymentMethod

TODAY = date(2026, 11, 10)


class Garbage:
    """Views somebody wrote into."""

    async def read(self, *_: object, **__: object) -> View:
        return View(9, {"open#": "garbage", "open$": "1", "account:garbage": "{", "account:00": "null"})


@pytest.mark.asyncio
async def test_garbage_in_a_view_is_left_to_sql() -> None:
    views, company = cast("Views", Garbage()), uuid4()
    assert await figures_cached(views, 1, company, TODAY, at_least=9) is None
    assert await bank_accounts_cached(views, 1, company, at_least=9) is None


def test_the_dashboard_adds_up_what_happened(books: Books) -> None:
    books.fold(busy_shop())
    shown = dashboard(books.ask(figures, TODAY), TODAY)
    assert (shown.today.count, shown.today.revenue.minor) == (1, 3000)
    month = shown.this_month
    assert (month.month, month.count, month.revenue.minor, month.cost.minor) == ("2026-11", 1, 3000, 900)
    assert (month.margin.minor, month.average_sale.minor) == (2100, 3000)
    october = shown.months[-2]
    assert (october.count, october.revenue.minor, october.received.minor) == (1, 2000, 0)
    assert (shown.open_receivables.minor, shown.received_total.minor) == (4000, 1000)
    assert len(shown.days) == 31
    assert len(shown.months) == 12


def test_a_cancelled_sale_is_taken_back_from_its_day_but_not_from_what_was_agreed(books: Books) -> None:
    books.fold(busy_shop())
    shown = dashboard(books.ask(figures, TODAY), TODAY)
    boleto = next(method for method in shown.methods if method.method == "boleto")
    assert (boleto.count, boleto.amount.minor) == (2, 4000)
    assert shown.days[-1].revenue.minor == 3000


def test_nothing_yet_is_nothing_anywhere(books: Books) -> None:
    books.fold(busy_shop())
    shown = dashboard(books.ask(figures, date(2020, 1, 31)), date(2020, 1, 31))
    assert shown.this_month.average_sale.minor == 0
    assert [month.month for month in shown.months][:2] == ["2019-02", "2019-03"]


def test_every_payment_method_is_shown() -> None:
    assert get_args(PaymentMethod) == METHODS
