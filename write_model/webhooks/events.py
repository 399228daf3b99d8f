"""Facts about webhooks. No secret stands in them: a secret is derived from its id and the company's key."""

from uuid import UUID

from write_model.message import Event, event
from write_model.values.identifiers import WebhookDeliveryId, WebhookId


@event(
    "webhooks.webhook_registered",
    pt="Webhook cadastrado com {topics} filtro(s)",
    en="Webhook registered with {topics} filter(s)",
)
class WebhookRegistered(Event):
    """Events that match one of `topics` are told to `url`, signed with the secret of this id."""

    webhook_id: WebhookId
    url: str
    topics: tuple[str, ...]
    description: str | None
    secret_id: UUID


@event("webhooks.webhook_changed", pt="Webhook alterado", en="Webhook changed")
class WebhookChanged(Event):
    """It is another address, or other events are told; this is the whole of it afterwards."""

    webhook_id: WebhookId
    url: str
    topics: tuple[str, ...]
    description: str | None


@event("webhooks.webhook_enabled", pt="Webhook ativado", en="Webhook enabled")
class WebhookEnabled(Event):
    """Events are told again, from here on."""

    webhook_id: WebhookId


@event("webhooks.webhook_disabled", pt="Webhook desativado", en="Webhook disabled")
class WebhookDisabled(Event):
    """Nothing is told any more. The reason of the command says why, its actor whether we did it."""

    webhook_id: WebhookId


@event("webhooks.secret_rotated", pt="Segredo do webhook trocado", en="Secret of the webhook rotated")
class SecretRotated(Event):
    """There is a new secret; for a day what is told is signed with the one it replaces as well."""

    webhook_id: WebhookId
    secret_id: UUID
    replaces: UUID


@event("webhooks.webhook_removed", pt="Webhook removido", en="Webhook removed")
class WebhookRemoved(Event):
    """It is gone for good."""

    webhook_id: WebhookId


@event(
    "webhooks.place_taken",
    pt="Vaga de webhook ocupada",
    en="Place of a webhook taken",
    importance="technical",
)
class PlaceTaken(Event):
    """A company has a limited number of them; one is taken while a webhook is registered."""

    webhook_id: WebhookId


@event(
    "webhooks.place_given_back",
    pt="Vaga de webhook devolvida",
    en="Place of a webhook given back",
    importance="technical",
)
class PlaceGivenBack(Event):
    """Another webhook may have it."""

    webhook_id: WebhookId


@event(
    "webhooks.test_requested",
    pt="Teste do webhook solicitado",
    en="Test of the webhook requested",
    importance="technical",
)
class TestRequested(Event):
    """Somebody wants to see whether it works: this very event is told to it, once."""

    __test__ = False  # no test case, whatever the name looks like to a collector of tests

    webhook_id: WebhookId


@event(
    "webhooks.redelivery_requested",
    pt="Reenvio de uma entrega do webhook solicitado",
    en="Redelivery to the webhook requested",
    importance="technical",
)
class RedeliveryRequested(Event):
    """Somebody wants an event told once more."""

    webhook_id: WebhookId
    delivery_id: WebhookDeliveryId
