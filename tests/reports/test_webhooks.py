"""The list of webhooks, and what whoever delivers to them reads."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.webhooks.endpoints import (
    ENDPOINT_COLUMNS,
    OVERLAP,
    Endpoint,
    endpoint_of,
    webhook,
    webhooks,
)
from tests.decisions.test_webhooks import ERP, URL, listening
from tests.reports.books import Books
from write_model.webhooks.webhook import (
    ChangeWebhook,
    DisableWebhook,
    EnableWebhook,
    RemoveWebhook,
    RotateSecret,
)


async def endpoint(connection: AsyncConnection, company_id: UUID, webhook_id: UUID) -> Endpoint:
    """As whoever delivers reads it, though of one company."""
    asked = text(f"SELECT {ENDPOINT_COLUMNS} FROM read.webhooks_endpoints WHERE webhook_id = :id")  # noqa: S608
    return endpoint_of((await connection.execute(asked, {"id": webhook_id})).one())


def test_a_webhook_shows_what_became_of_it(books: Books) -> None:
    company = listening()
    company.given(ChangeWebhook(webhook_id=ERP, description="ERP"), DisableWebhook(webhook_id=ERP))
    books.fold(company)
    found = books.ask(webhook, ERP)
    assert found is not None
    assert (found.url, found.topics, found.description) == (URL, ("sales.*",), "ERP")
    assert (found.status, found.status_reason, found.status_set_by) == ("disabled", "teste", "user")
    assert found.version == 3


def test_it_is_told_of_what_happens_after_it_was_enabled_last(books: Books) -> None:
    company = listening()
    company.given(DisableWebhook(webhook_id=ERP), EnableWebhook(webhook_id=ERP))
    books.fold(company)
    found = books.ask(endpoint, ERP)
    since = found.active_since
    assert not found.wants("sales.sale_confirmed", since)
    assert found.wants("sales.sale_confirmed", since + 1)
    assert not found.wants("settlement.instalment_settled", since + 1)


def test_two_secrets_sign_for_a_day_after_a_rotation(books: Books) -> None:
    company = listening()
    company.given(RotateSecret(webhook_id=ERP))
    books.fold(company)
    found = books.ask(endpoint, ERP)
    rotated_at = found.rotated_at
    assert rotated_at is not None
    assert found.secret_ids(rotated_at) == (found.secret_id, found.previous_secret_id)
    assert found.secret_ids(rotated_at + OVERLAP - timedelta(seconds=1))[1] is not None
    assert found.secret_ids(rotated_at + OVERLAP) == (found.secret_id,)


def test_a_removed_webhook_is_in_no_list(books: Books) -> None:
    company = listening()
    company.given(RemoveWebhook(webhook_id=ERP))
    books.fold(company)
    assert books.ask(webhooks, limit=10) == []
