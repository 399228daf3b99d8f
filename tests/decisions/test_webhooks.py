"""Decisions about webhooks."""

import pytest

from tests.scenario import Company, an_id
from write_model.message import Invalid, NotFound
from write_model.values.identifiers import WebhookDeliveryId, WebhookId
from write_model.webhooks.events import (
    PlaceGivenBack,
    PlaceTaken,
    RedeliveryRequested,
    SecretRotated,
    TestRequested,
    WebhookChanged,
    WebhookDisabled,
    WebhookEnabled,
    WebhookRegistered,
    WebhookRemoved,
)
from write_model.webhooks.places import PLACES_MAX, TooManyWebhooks
from write_model.webhooks.webhook import (
    ChangeWebhook,
    DisableWebhook,
    EnableWebhook,
    Redeliver,
    RegisterWebhook,
    RemoveWebhook,
    RotateSecret,
    TestWebhook,
    Webhook,
    WebhookIsDisabled,
    WebhookIsEnabled,
)

ERP = WebhookId(an_id("erp"))
URL = "https://erp.example.com/ganchos"


def listening() -> Company:
    company = Company()
    company.given(RegisterWebhook(webhook_id=ERP, url=URL, topics=("sales.*",)))
    return company


def test_a_webhook_has_the_normal_spelling_of_its_address_and_each_filter_once() -> None:
    company = Company()
    topics = ("sales.*", "settlement.instalment_settled", "sales.*")
    company.when(RegisterWebhook(webhook_id=ERP, url="https://ERP.example.com:443/ganchos", topics=topics))
    company.then(WebhookRegistered, PlaceTaken)
    fact = company.event(WebhookRegistered)
    assert (fact.url, fact.topics) == (URL, ("sales.*", "settlement.instalment_settled"))


@pytest.mark.parametrize(
    "topics",
    [
        (),
        ("sales",),
        ("sales.",),
        ("vendas.*",),
        ("sales.nothing",),
        ("*.*",),
        ("**",),
        ("s[a]les.*",),
        ("*",) * 51,
    ],
)
def test_a_filter_that_could_match_nothing_is_refused(topics: tuple[str, ...]) -> None:
    company = Company()
    company.when(RegisterWebhook(webhook_id=ERP, url=URL, topics=topics))
    company.refused(Invalid)


def test_this_machine_is_told_only_where_that_is_allowed() -> None:
    company = Company()
    local = RegisterWebhook(webhook_id=ERP, url="http://127.0.0.1:9000/x")
    company.when(local)
    company.refused(Invalid, field="url")
    company.when(local, loopback_allowed=True)
    company.then(WebhookRegistered, PlaceTaken)
    company.when(ChangeWebhook(webhook_id=ERP, url="http://127.0.0.1:9001/x"))
    company.refused(Invalid, field="url")


def test_a_change_says_the_whole_and_nothing_when_nothing_changes() -> None:
    company = listening()
    company.when(ChangeWebhook(webhook_id=ERP, description="ERP"))
    company.then(WebhookChanged)
    assert company.event(WebhookChanged).topics == ("sales.*",)
    company.when(ChangeWebhook(webhook_id=ERP, url=URL, topics=("sales.*",)))
    company.then()


def test_a_webhook_is_disabled_and_enabled_in_turns() -> None:
    company = listening()
    company.when(EnableWebhook(webhook_id=ERP))
    company.refused(WebhookIsEnabled)
    company.when(DisableWebhook(webhook_id=ERP))
    company.then(WebhookDisabled)
    company.when(DisableWebhook(webhook_id=ERP))
    company.refused(WebhookIsDisabled)
    company.when(EnableWebhook(webhook_id=ERP))
    company.then(WebhookEnabled)


def test_a_new_secret_names_the_one_it_replaces_and_no_event_holds_either() -> None:
    company = listening()
    first = company.state(Webhook, ERP).secret_id
    company.when(RotateSecret(webhook_id=ERP))
    company.then(SecretRotated)
    rotated = company.event(SecretRotated)
    assert rotated.replaces == first != rotated.secret_id
    assert company.receipt is not None
    assert rotated.secret_id == company.receipt.command_id


def test_a_test_and_a_redelivery_are_asked_for() -> None:
    company = listening()
    delivery = WebhookDeliveryId(an_id("delivery"))
    company.when(Redeliver(webhook_id=ERP, delivery_id=delivery))
    company.then(RedeliveryRequested)
    company.given(DisableWebhook(webhook_id=ERP))
    company.when(TestWebhook(webhook_id=ERP))
    company.then(TestRequested)
    company.when(Redeliver(webhook_id=ERP, delivery_id=delivery))
    company.refused(WebhookIsDisabled)


def test_a_removed_webhook_is_not_there_any_more() -> None:
    company = listening()
    company.when(RemoveWebhook(webhook_id=ERP))
    company.then(WebhookRemoved, PlaceGivenBack)
    for command in (
        ChangeWebhook(webhook_id=ERP, description="x"),
        EnableWebhook(webhook_id=ERP),
        DisableWebhook(webhook_id=ERP),
        RotateSecret(webhook_id=ERP),
        TestWebhook(webhook_id=ERP),
        Redeliver(webhook_id=ERP, delivery_id=WebhookDeliveryId(an_id("delivery"))),
        RemoveWebhook(webhook_id=ERP),
    ):
        company.when(command)
        company.refused(NotFound)


def test_a_company_has_so_many_webhooks_and_no_more_until_one_is_removed() -> None:
    company = listening()
    for number in range(1, PLACES_MAX):
        company.given(RegisterWebhook(webhook_id=WebhookId(an_id(f"webhook {number}")), url=URL))
    company.given(DisableWebhook(webhook_id=ERP))
    one_more = RegisterWebhook(webhook_id=WebhookId(an_id("one more")), url=URL)
    company.when(one_more)
    company.refused(TooManyWebhooks, max=str(PLACES_MAX))
    company.given(RemoveWebhook(webhook_id=ERP))
    company.when(one_more)
    company.then(WebhookRegistered, PlaceTaken)


def test_the_refusal_says_the_number_that_holds() -> None:
    assert f" {PLACES_MAX} " in (TooManyWebhooks.__doc__ or "")
    assert f" {PLACES_MAX} " in TooManyWebhooks.pt
