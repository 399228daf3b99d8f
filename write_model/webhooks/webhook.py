"""A webhook: where to tell which events, and whether to."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, assert_never
from uuid import UUID

from write_model.message import (
    EVENTS,
    Command,
    Event,
    Invalid,
    NotFound,
    State,
    StateConflict,
    Streams,
    command,
)
from write_model.values.identifiers import WebhookDeliveryId, WebhookId
from write_model.values.limits import Length, Memo
from write_model.values.web_address import WebAddress
from write_model.webhooks.events import (
    RedeliveryRequested,
    SecretRotated,
    TestRequested,
    WebhookChanged,
    WebhookDisabled,
    WebhookEnabled,
    WebhookRegistered,
    WebhookRemoved,
)
from write_model.webhooks.places import give_place_back, take_place

Url = Annotated[str, Length(500)]
TopicFilter = Annotated[str, Length(100)]

_TOPICS_MAX = 50
_FILTER = re.compile(r"\*|[a-z_]+\.(?:\*|[a-z_]+)", re.ASCII)

Facts = (
    WebhookRegistered
    | WebhookChanged
    | WebhookEnabled
    | WebhookDisabled
    | SecretRotated
    | WebhookRemoved
    | TestRequested
    | RedeliveryRequested
)


class Webhook(State):
    """Where, what, and whether; `status` is `enabled`, `disabled` or `removed`."""

    __slots__ = ("description", "secret_id", "status", "topics", "url")
    kind: ClassVar[str] = "webhooks.webhook"

    def __init__(self) -> None:
        self.status = "unknown"
        self.url = ""
        self.topics: tuple[str, ...] = ()
        self.description: str | None = None
        self.secret_id = UUID(int=0)

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case WebhookRegistered():
                self.status, self.secret_id = "enabled", fact.secret_id
                self.url, self.topics, self.description = fact.url, fact.topics, fact.description
            case WebhookChanged():
                self.url, self.topics, self.description = fact.url, fact.topics, fact.description
            case WebhookEnabled():
                self.status = "enabled"
            case WebhookDisabled():
                self.status = "disabled"
            case SecretRotated():
                self.secret_id = fact.secret_id
            case WebhookRemoved():
                self.status = "removed"
            case TestRequested() | RedeliveryRequested():
                pass
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """Status and filters."""
        return {"status": self.status, "topics": list(self.topics)}


class WebhookIsEnabled(StateConflict):
    """This webhook is enabled already."""

    pt = "Este webhook já está ativo"


class WebhookIsDisabled(StateConflict):
    """This webhook is disabled."""

    pt = "Este webhook está desativado"


def present(webhook: Webhook) -> Webhook:
    """The webhook, unless it was removed: then it is as if it had never been."""
    if webhook.status == "removed":
        raise NotFound(resource="webhook")
    return webhook


def checked_topics(topics: tuple[str, ...]) -> tuple[str, ...]:
    """Filters, sorted, each once; refuse what no event of ours could ever match."""
    if not 1 <= len(topics) <= _TOPICS_MAX:
        raise Invalid("invalid-topics", "There are 1 to 50 filters.", {"field": "topics"})
    for wanted in topics:
        # A star alone is every context's; a word before the dot is one context.
        known = _FILTER.fullmatch(wanted) and any(fnmatchcase(topic, wanted) for topic in EVENTS)
        if not known:
            message = "A filter is *, a context as sales.*, or the topic of an event."
            raise Invalid("invalid-topics", message, {"field": "topics"})
    return tuple(sorted(set(topics)))


@command(
    "webhooks.register_webhook",
    on=Webhook,
    needs="new",
    route="/webhooks",
    permission="webhooks.write",
    target="webhook_id",
    resource="webhook",
)
class RegisterWebhook(Command):
    """Tell an address what happens. The answer shows the secret to verify signatures with, this once."""

    webhook_id: WebhookId
    url: Url
    topics: tuple[TopicFilter, ...] = ("*",)
    description: Memo | None = None

    async def decide(self, streams: Streams) -> None:
        """Record WebhookRegistered and the place it takes; refuse with TooManyWebhooks."""
        context = streams.context
        address = WebAddress.parse(self.url, loopback_allowed=context.loopback_allowed)
        registered = WebhookRegistered(
            webhook_id=self.webhook_id,
            url=str(address),
            topics=checked_topics(self.topics),
            description=self.description,
            secret_id=context.command_id,
        )
        await take_place(streams, self.webhook_id)
        streams.record(Webhook, self.webhook_id, [registered])


@command(
    "webhooks.change_webhook",
    on=Webhook,
    route="/webhooks/{webhook_id}/change",
    permission="webhooks.write",
    target="webhook_id",
    resource="webhook",
)
class ChangeWebhook(Command):
    """Change the address, the filters or the description; what is left out stays."""

    webhook_id: WebhookId
    url: Url | None = None
    topics: tuple[TopicFilter, ...] | None = None
    description: Memo | None = None

    async def decide(self, streams: Streams) -> None:
        """Record WebhookChanged unless nothing changes."""
        webhook = present(await streams.existing(Webhook, self.webhook_id))
        url, topics = webhook.url, webhook.topics
        if self.url is not None:
            url = str(WebAddress.parse(self.url, loopback_allowed=streams.context.loopback_allowed))
        if self.topics is not None:
            topics = checked_topics(self.topics)
        description = webhook.description if self.description is None else self.description
        if (url, topics, description) != (webhook.url, webhook.topics, webhook.description):
            changed = WebhookChanged(
                webhook_id=self.webhook_id, url=url, topics=topics, description=description
            )
            streams.record(Webhook, self.webhook_id, [changed])


@command(
    "webhooks.enable_webhook",
    on=Webhook,
    route="/webhooks/{webhook_id}/enable",
    permission="webhooks.write",
    target="webhook_id",
    resource="webhook",
)
class EnableWebhook(Command):
    """Tell it again what happens from now on; what happened meanwhile is not told."""

    webhook_id: WebhookId

    def decide(self, webhook: Webhook) -> Iterator[Event]:
        """Yield WebhookEnabled; refuse with WebhookIsEnabled."""
        if present(webhook).status == "enabled":
            raise WebhookIsEnabled
        yield WebhookEnabled(webhook_id=self.webhook_id)


@command(
    "webhooks.disable_webhook",
    on=Webhook,
    route="/webhooks/{webhook_id}/disable",
    permission="webhooks.write",
    target="webhook_id",
    resource="webhook",
    reversed_by="webhooks.enable_webhook",
)
class DisableWebhook(Command):
    """Tell it nothing any more; what is still waiting for it is not told either."""

    webhook_id: WebhookId

    def decide(self, webhook: Webhook) -> Iterator[Event]:
        """Yield WebhookDisabled; refuse with WebhookIsDisabled."""
        if present(webhook).status == "disabled":
            raise WebhookIsDisabled
        yield WebhookDisabled(webhook_id=self.webhook_id)


@command(
    "webhooks.rotate_secret",
    on=Webhook,
    route="/webhooks/{webhook_id}/rotate-secret",
    permission="webhooks.write",
    target="webhook_id",
    resource="webhook",
)
class RotateSecret(Command):
    """Make a new secret, shown this once; for 24 hours the one before it signs as well."""

    webhook_id: WebhookId

    async def decide(self, streams: Streams) -> None:
        """Record SecretRotated."""
        webhook = present(await streams.existing(Webhook, self.webhook_id))
        rotated = SecretRotated(
            webhook_id=self.webhook_id, secret_id=streams.context.command_id, replaces=webhook.secret_id
        )
        streams.record(Webhook, self.webhook_id, [rotated])


@command(
    "webhooks.remove_webhook",
    on=Webhook,
    route="/webhooks/{webhook_id}/remove",
    permission="webhooks.write",
    target="webhook_id",
    resource="webhook",
)
class RemoveWebhook(Command):
    """Forget it for good."""

    webhook_id: WebhookId

    async def decide(self, streams: Streams) -> None:
        """Record WebhookRemoved, and that its place is free."""
        present(await streams.existing(Webhook, self.webhook_id))
        await give_place_back(streams, self.webhook_id)
        streams.record(Webhook, self.webhook_id, [WebhookRemoved(webhook_id=self.webhook_id)])


@command(
    "webhooks.test_webhook",
    on=Webhook,
    route="/webhooks/{webhook_id}/test",
    permission="webhooks.write",
    target="webhook_id",
    resource="webhook",
)
class TestWebhook(Command):
    """Send it an event made for that, once, whatever its filters and also while it is disabled."""

    __test__ = False  # as TestRequested

    webhook_id: WebhookId

    def decide(self, webhook: Webhook) -> Iterator[Event]:
        """Yield TestRequested."""
        present(webhook)
        yield TestRequested(webhook_id=self.webhook_id)


@command(
    "webhooks.redeliver",
    on=Webhook,
    route="/webhooks/{webhook_id}/redeliver",
    permission="webhooks.write",
    target="webhook_id",
    resource="webhook",
)
class Redeliver(Command):
    """Tell it once more what a delivery told, or failed to tell; the delivery must be one of its own."""

    webhook_id: WebhookId
    delivery_id: WebhookDeliveryId

    def decide(self, webhook: Webhook) -> Iterator[Event]:
        """Yield RedeliveryRequested; refuse with WebhookIsDisabled."""
        if present(webhook).status == "disabled":
            raise WebhookIsDisabled
        yield RedeliveryRequested(webhook_id=self.webhook_id, delivery_id=self.delivery_id)
