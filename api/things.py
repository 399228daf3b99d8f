"""What an event is about, as clients name it: `sales.sale_confirmed` is about a `sale`, by its `sal_` id.

The first field of an event is the id of the thing it happened to, and the field is called after the thing.
The few that are not so are listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_type_hints
from uuid import UUID

from write_model.message import EVENTS
from write_model.values.identifiers import PREFIXES, encode

# A movement of stock is told by its product: the warehouse did not change.
_FIELD_OF = {"stock": "product_id"}
_NAME_OF = {
    "entry_id": "journal_entry",
    "code": "ledger_account",
    "template": "chart_of_accounts",
}
_NAME_IN = {("stock", "product_id"): "stock_level", ("settlement", "party_id"): "credit_line"}


@dataclass(frozen=True, slots=True)
class Thing:
    """What changed."""

    type: str
    id: str


def context_of(topic: str) -> str:
    """The part of the business an event belongs to; who may read that may know of its changes."""
    return topic.partition(".")[0]


def is_told(topic: str) -> bool:
    """Technical events are of no interest to clients, and unknown ones cannot be told."""
    kind = EVENTS.get(topic)
    return kind is not None and kind.importance != "technical"


def thing_of(topic: str, data: Mapping[str, Any]) -> Thing:
    """The thing an event happened to, out of its recorded fields."""
    field, name, prefix = _place(topic)
    value = data[field]
    return Thing(name, encode(prefix, UUID(value)) if prefix else str(value))


@cache
def _place(topic: str) -> tuple[str, str, str | None]:
    """The field, what it is called outside, and the prefix of its ids."""
    kind: Any = EVENTS[topic]
    context = context_of(topic)
    field = _FIELD_OF.get(context) or fields(kind)[0].name
    name = _NAME_IN.get((context, field)) or _NAME_OF.get(field) or field.removesuffix("_id")
    return field, name, PREFIXES.get(get_type_hints(kind)[field])
