"""Questions of auditors: who did what, when, from where, and why; and what exactly was recorded."""

from dataclasses import fields, is_dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from api.filters import CommandKey, EventKey, Text, found, instant, refused
from api.queries import Paging, Reading, paging, reads
from api.representation import shape_of
from api.shapes import AsOf, Shape
from api.timeline import HISTORY, event_shown, trail
from read_model.audit.events import (
    AsRecorded,
    AuditEventRow,
    AuditSelection,
    as_recorded,
    audit_event,
    subjects,
)
from write_model.message import Personal
from write_model.values.identifiers import decode, encode

router = APIRouter(prefix="/v1/audit", tags=["audit"])

PERSONAL = "audit.personal"
"""Whoever has this permission sees personal texts in what was recorded; others see whom they are about."""

Trail = Annotated[Reading, reads("audit_events", permission="audit.read")]

_POSITION_MAX = 10**18
# What a field of an event names, for those that are shown with a prefix.
_PREFIXES = {
    "company_id": "cmp",
    "product_id": "prd",
    "party_id": "pty",
    "customer_id": "pty",
    "warehouse_id": "whs",
    "sale_id": "sal",
    "receivable_id": "rcv",
    "instalment_id": "ins",
    "settlement_id": "set",
    "bank_account_id": "bnk",
    "entry_id": "led",
    "reverses": "led",
    "reversed_by": "led",
}


class SubjectShape(Shape):
    """A thing the event names, and the field it stands in."""

    field: str
    id: str


class RecordedEventShape(shape_of(AuditEventRow, url=str)):  # type: ignore[misc]  # made of the row
    """An event with what was recorded of it, and its place in the chain of hashes."""

    subjects: list[SubjectShape]
    data: dict[str, Any] | None
    personal_data: str
    prev_hash: str | None
    hash: str | None
    as_of: AsOf


@router.get("/events", response_model=HISTORY)
async def list_audit_events(
    reading: Trail,
    paging: Annotated[Paging, Depends(paging)],
    topic: Annotated[Text | None, Query(alias="type", description="Such as `sales.sale_confirmed`.")] = None,
    actor: Annotated[str | None, Query(description="A user, or the UUID of another actor.")] = None,
    recorded_from: Annotated[str | None, Query(alias="from", description="Recorded at or after.")] = None,
    recorded_to: Annotated[str | None, Query(alias="to", description="Recorded before.")] = None,
    stream: UUID | None = None,
    command_id: CommandKey | None = None,
    correlation_id: UUID | None = None,
    after: Annotated[
        int | None, Query(ge=0, lt=_POSITION_MAX, description="Behind this position of the log.")
    ] = None,
) -> Any:
    """The events as they were recorded, in sentences."""
    selection = AuditSelection(
        topic=topic,
        actor_id=None if actor is None else _actor(actor),
        stream_id=stream,
        command_id=command_id,
        correlation_id=correlation_id,
        recorded_from=None if recorded_from is None else instant("from", recorded_from),
        recorded_before=None if recorded_to is None else instant("to", recorded_to),
        beyond_position=after,
    )
    return await trail(reading, paging, selection)


@router.get("/events/{event_id}", response_model=RecordedEventShape)
async def show_audit_event(reading: Trail, event_id: EventKey) -> Any:
    """One event: its sentence, who caused it, and what exactly the store holds."""
    connection, company = reading.connection, reading.company_id
    row = found(await audit_event(connection, company, event_id, language=reading.language))
    named = await subjects(connection, company, row.position)
    stored = await as_recorded(connection, company, reading.partition, row.position)
    open_ = stored is not None and reading.user.may(PERSONAL)
    return {
        **event_shown(row),
        "subjects": [{"field": item.field, "id": _subject(item.field, item.id)} for item in named],
        "data": await _opened(reading, row, stored) if open_ else stored and stored.data,
        "personal_data": "shown" if open_ else "masked",
        "prev_hash": stored and stored.prev_hash,
        "hash": stored and stored.hash,
        "as_of": reading.as_of,
    }


async def _opened(reading: Reading, row: AuditEventRow, stored: AsRecorded | None) -> Any:
    """What was recorded, with the personal texts whose keys still exist."""
    recorded = await reading.services.store.read_streams(reading.company_id, [row.stream_id])
    facts = [item.event for item in recorded[row.stream_id] if item.version == row.version]
    return revealed(stored and stored.data, facts[0] if facts else None)


def revealed(data: Any, fact: Any) -> Any:
    """The data with the texts of the fact where personal data is masked; erased ones are null."""
    match data, fact:
        case dict(), Personal():
            return {"subject": data["subject"], "text": fact.text}
        case dict(), _ if is_dataclass(fact):
            values = {item.name: getattr(fact, item.name) for item in fields(fact)}
            return {name: revealed(value, values.get(name)) for name, value in data.items()}
        case list(), tuple() | list() if len(data) == len(fact):
            return [revealed(value, item) for value, item in zip(data, fact, strict=True)]
    return data


def _subject(field: str, subject: UUID) -> str:
    prefix = _PREFIXES.get(field)
    return encode(prefix, subject) if prefix else str(subject)


def _actor(text: str) -> UUID:
    try:
        return decode("usr", text) if text.startswith("usr_") else UUID(text)
    except ValueError:
        raise refused("actor") from None
