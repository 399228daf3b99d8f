"""Rows are functions of the log and of nothing else: however it is paged, they are the same."""

from collections.abc import Iterator

import pytest

from tests.decisions.sales_setting import CUSTOMER
from tests.reports.books import Books
from tests.reports.shop import busy_shop
from tests.scenario import an_id
from write_model.ledger.accounting_periods import ClosePeriod
from write_model.ledger.chart_of_accounts import CreateAccount
from write_model.parties.party import BlockParty
from write_model.values.identifiers import WebhookId
from write_model.values.period import Period
from write_model.webhooks.webhook import RegisterWebhook, RotateSecret


@pytest.fixture
def other_books(database_url: str, library: Books) -> Iterator[Books]:
    """The same projections in another database, under another epoch of the same Redis."""
    with Books(database_url, library.redis_url, epoch=2) as opened:
        yield opened


def test_event_by_event_or_all_at_once_the_rows_are_the_same(books: Books, other_books: Books) -> None:
    company = busy_shop()
    company.given(
        ClosePeriod(period=Period(2026, 10)),
        CreateAccount(code="5.2.1.10", name="Seguros", parent="5.2.1"),
        BlockParty(party_id=CUSTOMER),
        RegisterWebhook(webhook_id=WebhookId(an_id("webhook")), url="https://erp.example.com/ganchos"),
        RotateSecret(webhook_id=WebhookId(an_id("webhook"))),
    )
    books.fold(company, page=1)
    other_books.fold(company)
    rows = books.rows()
    assert rows == other_books.rows()
    assert [name for name, found in rows.items() if not found] == []
