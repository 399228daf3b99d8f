"""What the world outside is told of an event: that it happened, to which things, and where to look.

Thin on purpose. No text a person typed, no amount, no name stands in it: what may be known is asked at the
links, by somebody who may ask. So nothing personal lies in queues, where it could not be erased.

    {"id": "evt_…", "topic": "sales.sale_confirmed", "schema_version": 1, "company_id": "cmp_…",
     "stream_id": "…", "version": 3, "partition": 2, "position": 918273,
     "recorded_at": "2026-11-23T15:00:00Z", "effective_date": "2026-11-23",
     "links": [{"type": "sale", "id": "sal_…", "url": "/v1/sales/sal_…"}]}

`id` stays the same however often the event is delivered: consumers tell duplicates by it. `version` counts
the events of one stream from 1, `position` those of the partition.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from write_model.message import Event, Recorded
from write_model.values.identifiers import (
    PREFIXES,
    BankAccountId,
    CompanyId,
    EventId,
    InstalmentId,
    JournalEntryId,
    PartyId,
    ProductId,
    ReceivableId,
    SaleId,
    SettlementId,
    WebhookDeliveryId,
    WebhookId,
    decode,
    encode,
)

_EVENT: Final = PREFIXES[EventId]
_COMPANY: Final = PREFIXES[CompanyId]

PLACES: Final[dict[object, tuple[str, str]]] = {
    ProductId: ("product", "/v1/products/"),
    PartyId: ("party", "/v1/parties/"),
    SaleId: ("sale", "/v1/sales/"),
    ReceivableId: ("receivable", "/v1/receivables/"),
    InstalmentId: ("instalment", "/v1/instalments/"),
    SettlementId: ("settlement", "/v1/settlements/"),
    BankAccountId: ("bank_account", "/v1/bank-accounts/"),
    JournalEntryId: ("journal_entry", "/v1/ledger/entries/"),
    WebhookId: ("webhook", "/v1/webhooks/"),
    WebhookDeliveryId: ("webhook_delivery", "/v1/webhook-deliveries/"),
}
"""What can be looked at, and where. Identifiers of other kinds are not linked."""


class NotAnEvent(ValueError):
    """These bytes are no integration event of ours."""


@dataclass(frozen=True, slots=True)
class Link:
    """One thing the event is about; `id` in its public form."""

    type: str
    id: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationEvent:
    """One event as it is told to the world."""

    id: UUID
    topic: str
    schema_version: int
    company_id: UUID
    stream_id: UUID
    version: int
    partition: int
    position: int
    recorded_at: datetime
    effective_date: date
    links: tuple[Link, ...]

    @property
    def public_id(self) -> str:
        """`evt_…`"""
        return encode(_EVENT, self.id)

    @property
    def routing_key(self) -> str:
        """`cmp_….sales.sale_confirmed`: the company and the two words of the topic."""
        return f"{encode(_COMPANY, self.company_id)}.{self.topic}"

    def to_json(self) -> bytes:
        """The same bytes every time."""
        return json.dumps(
            {
                "id": self.public_id,
                "topic": self.topic,
                "schema_version": self.schema_version,
                "company_id": encode(_COMPANY, self.company_id),
                "stream_id": str(self.stream_id),
                "version": self.version,
                "partition": self.partition,
                "position": self.position,
                "recorded_at": self.recorded_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
                "effective_date": self.effective_date.isoformat(),
                "links": [{"type": link.type, "id": link.id, "url": link.url} for link in self.links],
            },
            separators=(",", ":"),
        ).encode()


def from_json(body: bytes) -> IntegrationEvent:
    """What `to_json` wrote; raises NotAnEvent for anything else, whoever put it into the queue."""
    try:
        given = json.loads(body)
        return IntegrationEvent(
            id=decode(_EVENT, given["id"]),
            topic=_text(given["topic"]),
            schema_version=_number(given["schema_version"]),
            company_id=decode(_COMPANY, given["company_id"]),
            stream_id=UUID(_text(given["stream_id"])),
            version=_number(given["version"]),
            partition=_number(given["partition"]),
            position=_number(given["position"]),
            recorded_at=_moment(given["recorded_at"]),
            effective_date=date.fromisoformat(_text(given["effective_date"])),
            links=tuple(
                Link(_text(link["type"]), _text(link["id"]), _text(link["url"]))
                for link in _list(given["links"])
            ),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotAnEvent(type(error).__name__) from error


def told(recorded: Recorded) -> IntegrationEvent:
    """What the world is told of a recorded event."""
    return IntegrationEvent(
        id=recorded.event_id,
        topic=recorded.topic,
        schema_version=recorded.schema_version,
        company_id=recorded.company_id,
        stream_id=recorded.stream_id,
        version=recorded.version,
        partition=recorded.partition,
        position=recorded.position,
        recorded_at=recorded.recorded_at,
        effective_date=recorded.effective_date,
        links=tuple(dict.fromkeys(_links(recorded.event))),
    )


def _links(fact: Event) -> Iterator[Link]:
    kind: Any = type(fact)  # Any: mypy would look for a hash on instances of it
    for name, place in _linked_fields(kind):
        value: UUID | None = getattr(fact, name)
        if value is not None:
            type_, path = PLACES[place]
            public = encode(PREFIXES[place], value)
            yield Link(type_, public, path + public)


@cache
def _linked_fields(kind: type[Event]) -> tuple[tuple[str, object], ...]:
    """The fields of an event that are, by their type, identifiers of something that can be looked at."""
    return tuple(
        (name, candidate)
        for name, annotation in get_type_hints(kind).items()
        for candidate in _alternatives(annotation)
        # A NewType is compared by identity; other annotations may not even be hashable.
        if any(candidate is known for known in PLACES)
    )


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise NotAnEvent("text expected")
    return value


def _number(value: Any) -> int:
    if type(value) is not int:
        raise NotAnEvent("number expected")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise NotAnEvent("list expected")
    return value


def _moment(value: Any) -> datetime:
    found = datetime.fromisoformat(_text(value))
    if found.tzinfo is None:
        raise NotAnEvent("time without a zone")
    return found
