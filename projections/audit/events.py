"""Indexes every event there is: in two languages, by what it names, by who caused it."""

from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from typing import Any
from uuid import UUID

from projections.batch import Batch
from projections.projector import SqlProjection
from read_model.audit.events import SUBJECTS, TABLE
from write_model.catalog import events as catalog
from write_model.claims import events as claims
from write_model.companies import events as companies
from write_model.ledger import events as ledger
from write_model.message import EVENTS, Event, Recorded, sentence
from write_model.parties import events as parties
from write_model.sales import events as sales
from write_model.settlement import events as settlement
from write_model.stock import events as stock
from write_model.treasury import events as treasury

FACTS = (catalog, claims, companies, ledger, parties, sales, settlement, stock, treasury)
"""Importing them is what fills EVENTS; a test compares it with all that the store can hold."""


class AuditEvents(SqlProjection):
    """One row per event, and one per thing it names."""

    name = "audit_events"
    version = 1
    klass = "ledger"
    tables = (TABLE, SUBJECTS)

    def bound(self) -> dict[type[Event], Callable[[Any, Recorded, Any], None]]:
        """Every event type there is."""
        return dict.fromkeys(EVENTS.values(), self.recorded)

    def recorded(self, batch: Batch, recorded: Recorded, fact: Event) -> None:
        """The same for every event."""
        batch.put(
            TABLE,
            {
                "position": recorded.position,
                "event_id": recorded.event_id,
                "topic": recorded.topic,
                "schema_version": recorded.schema_version,
                "importance": fact.importance,
                "sentence_pt": sentence(fact, "pt-BR"),
                "sentence_en": sentence(fact, "en"),
                "stream_id": recorded.stream_id,
                "version": recorded.version,
                "effective_date": recorded.effective_date,
                "recorded_at": recorded.recorded_at,
                "actor_kind": recorded.actor_kind,
                "actor_id": recorded.actor_id,
                "on_behalf_of": recorded.on_behalf_of,
                "channel": recorded.channel,
                "reason": recorded.reason,
                "command_id": recorded.command_id,
                "correlation_id": recorded.correlation_id,
                "causation_id": recorded.causation_id,
            },
        )
        for field, subject_id in named_in(fact):
            batch.put(SUBJECTS, {"subject_id": subject_id, "position": recorded.position, "field": field})


def named_in(fact: Event) -> list[tuple[str, UUID]]:
    """The ids among the event's own fields; what stands in its lines is a detail of it."""
    kind: Any = type(fact)
    found = [(name, getattr(fact, name)) for name in _names_of(kind)]
    return [(name, value) for name, value in found if isinstance(value, UUID)]


@lru_cache(maxsize=1_000)
def _names_of(kind: Any) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind))
