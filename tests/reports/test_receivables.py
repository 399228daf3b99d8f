"""Receivables with their instalments and settlements."""

from datetime import date

from read_model.row import Amount
from read_model.selection import Days
from read_model.settlement.instalments import instalment, instalments
from read_model.settlement.receivables import receivable, receivables
from read_model.settlement.settlements import settlement
from tests.decisions.sales_setting import BANK, CUSTOMER
from tests.reports.books import Books
from tests.reports.shop import (
    CANCELLED,
    FIRST,
    SECOND,
    busy_shop,
    instalment_of,
    receivable_of,
    settlement_of,
)

TODAY = date(2026, 11, 23)


def test_a_title_shows_its_instalments_and_every_payment(books: Books) -> None:
    books.fold(busy_shop(), page=2)
    found = books.ask(receivable, receivable_of(FIRST), today=TODAY)
    assert found is not None
    assert (found.status, found.total, found.open_amount) == (
        "open",
        Amount(2000, "BRL"),
        Amount(1000, "BRL"),
    )
    assert [(part.number, part.status, part.days_overdue) for part in found.instalments] == [
        (1, "settled", 0),
        (2, "overdue", 3),
    ]
    assert [(paid.status, paid.net.minor, paid.reversed_on) for paid in found.settlements] == [
        ("reversed", 950, date(2026, 11, 11)),
        ("standing", 1000, None),
    ]
    assert found.version == 4


def test_titles_are_found_by_status_party_and_document(books: Books) -> None:
    books.fold(busy_shop())

    def ids(**filters: object) -> list[object]:
        return [row.id for row in books.ask(receivables, limit=10, **filters)]

    assert ids(status="cancelled") == [receivable_of(CANCELLED)]
    assert set(ids(status="open", party_id=CUSTOMER)) == {receivable_of(FIRST), receivable_of(SECOND)}
    assert ids(status="settled") == []
    assert ids(document_id=SECOND) == [receivable_of(SECOND)]
    assert ids(created_on=Days(end=date(2026, 11, 1))) == [receivable_of(FIRST)]


def test_an_instalment_is_overdue_from_the_day_after_it_fell_due(books: Books) -> None:
    books.fold(busy_shop())
    wanted = instalment_of(FIRST, 2)
    for today, status in ((date(2026, 11, 20), "open"), (date(2026, 11, 21), "overdue")):
        found = books.ask(instalment, wanted, today=today)
        assert found is not None
        assert found.status == status
        assert [row.id for row in books.ask(instalments, today=today, statuses=(status,), limit=1)] == [
            wanted
        ]


def test_instalments_are_found_by_due_date_and_any_of_several_statuses(books: Books) -> None:
    books.fold(busy_shop())
    several = books.ask(instalments, today=TODAY, statuses=("open", "overdue"), limit=10)
    assert [row.id for row in several] == [instalment_of(FIRST, 2), instalment_of(SECOND, 1)]
    december = Days(date(2026, 12, 1), date(2027, 1, 1))
    due = books.ask(instalments, today=TODAY, due_date=december, limit=10)
    assert [row.status for row in due] == ["cancelled", "open"]


def test_a_reversed_settlement_says_when_and_why(books: Books) -> None:
    books.fold(busy_shop())
    found = books.ask(settlement, settlement_of(FIRST, 1))
    assert found is not None
    assert (found.bank_account_id, found.gross.minor, found.fee.minor) == (BANK, 1000, 50)
    assert (found.status, found.reversed_on, found.reversal_reason) == (
        "reversed",
        date(2026, 11, 11),
        "teste",
    )
