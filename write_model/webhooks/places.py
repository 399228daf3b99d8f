"""How many webhooks a company may have: each takes a place while it is registered.

One stream for all places, so that two who register at the same moment cannot both take the last one.
"""

from typing import ClassVar, assert_never
from uuid import UUID

from write_model.message import RuleBroken, State, Streams
from write_model.values.identifiers import WebhookId
from write_model.webhooks.events import PlaceGivenBack, PlaceTaken

PLACES_MAX = 50
"""Every event of the company is matched against each, and may be delivered to each."""

_ALL = "all"

Facts = PlaceTaken | PlaceGivenBack


class Places(State):
    """Which webhooks hold one."""

    __slots__ = ("holders",)
    kind: ClassVar[str] = "webhooks.places"

    def __init__(self) -> None:
        self.holders: set[UUID] = set()

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case PlaceTaken():
                self.holders.add(fact.webhook_id)
            case PlaceGivenBack():
                self.holders.discard(fact.webhook_id)
            case _:
                assert_never(fact)


class TooManyWebhooks(RuleBroken):
    """A company has at most 50 webhooks, disabled ones included: remove one that is not needed."""

    pt = "Uma empresa tem no máximo 50 webhooks, contando os desativados: remova um que não seja necessário"


async def take_place(streams: Streams, webhook_id: WebhookId) -> None:
    """Record PlaceTaken, or refuse with TooManyWebhooks."""
    places = await streams.load(Places, _ALL)
    if len(places.holders) >= PLACES_MAX:
        raise TooManyWebhooks(max=PLACES_MAX)
    streams.record(Places, _ALL, [PlaceTaken(webhook_id=webhook_id)])


async def give_place_back(streams: Streams, webhook_id: WebhookId) -> None:
    """Record PlaceGivenBack, unless it was registered before there were places."""
    places = await streams.load(Places, _ALL)
    if webhook_id in places.holders:
        streams.record(Places, _ALL, [PlaceGivenBack(webhook_id=webhook_id)])
