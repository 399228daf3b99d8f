"""The audit trail: an index over all events, in sentences; who did what, when, from where, and why.

The trail itself is the store. This index finds events; what was recorded, to the byte and with its hash in
the chain, is read from the store's own view `audit.events`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Row,
    Select,
    SmallInteger,
    Text,
    Uuid,
    and_,
    column,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.row import Actor, CommandId, EventId
from read_model.selection import beyond, equal

TABLE = read_table(
    "audit_events",
    Column("position", BigInteger, primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("topic", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("importance", Text, nullable=False),
    Column("sentence_pt", Text, nullable=False),
    Column("sentence_en", Text, nullable=False),
    Column("stream_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("effective_date", Date, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Uuid, nullable=False),
    Column("on_behalf_of", Uuid),
    Column("channel", Text, nullable=False),
    Column("reason", Text),
    Column("command_id", Uuid, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    Column("causation_id", Uuid),
    Index("audit_events_event", "company_id", "event_id"),
    Index("audit_events_topic", "company_id", "topic", "position"),
    Index("audit_events_actor", "company_id", "actor_id", "position"),
    Index("audit_events_stream", "company_id", "stream_id", "position"),
    Index("audit_events_command", "company_id", "command_id", "position"),
    Index("audit_events_correlation", "company_id", "correlation_id", "position"),
    Index("audit_events_recorded", "company_id", "recorded_at", "position"),
)
SUBJECTS = read_table(
    "audit_events_subjects",
    Column("subject_id", Uuid, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("field", Text, nullable=False),
    Index("audit_events_subjects_position", "company_id", "position"),
)
"""What each event names by id: the history of a thing is every event that names it."""

_RECORDED = table(
    "events",
    column("partition", SmallInteger),
    column("position", BigInteger),
    column("company_id", Uuid),
    column("data", Text),
    column("prev_hash", LargeBinary),
    column("hash", LargeBinary),
    schema="audit",
)
_USERS = table("users", column("user_id", Uuid), column("display_name", Text), schema="ccontrol")
_SENTENCES = {"pt-BR": TABLE.c.sentence_pt, "en": TABLE.c.sentence_en}
_SEALED_KEYS = frozenset({"subject", "key", "ct"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEventRow:
    """One event. `version` counts the events of its stream."""

    id: EventId
    position: int
    topic: str
    schema_version: int
    importance: str
    sentence: str
    stream_id: UUID
    version: int
    effective_date: date
    recorded_at: datetime
    actor: Actor
    actor_name: str | None
    channel: str
    reason: str | None
    command_id: CommandId
    correlation_id: UUID
    causation_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A thing an event names, and the field it stands in."""

    field: str
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class AsRecorded:
    """What the store holds of an event: its data, personal texts masked, and its place in the chain."""

    data: Mapping[str, Any]
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSelection:
    """Which events. `recorded_from` and `recorded_before` span moments of recording."""

    topic: str | None = None
    actor_id: UUID | None = None
    stream_id: UUID | None = None
    command_id: UUID | None = None
    correlation_id: UUID | None = None
    subject_id: UUID | None = None
    recorded_from: datetime | None = None
    recorded_before: datetime | None = None
    beyond_position: int | None = None
    technical: bool = True


async def audit_events(
    connection: AsyncConnection,
    company_id: UUID,
    selection: AuditSelection,
    *,
    language: str,
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[AuditEventRow]:
    """The events in the order they were recorded."""
    question = _in_words(language).where(TABLE.c.company_id == company_id, *_conditions(selection))
    if selection.subject_id is not None:
        named = and_(
            SUBJECTS.c.company_id == TABLE.c.company_id,
            SUBJECTS.c.partition == TABLE.c.partition,
            SUBJECTS.c.position == TABLE.c.position,
        )
        question = question.join(SUBJECTS, named).where(SUBJECTS.c.subject_id == selection.subject_id)
    page = question.where(*beyond((TABLE.c.position,), after)).order_by(TABLE.c.position).limit(limit)
    return [_row(row) for row in await connection.execute(page)]


async def audit_event(
    connection: AsyncConnection, company_id: UUID, event_id: UUID, *, language: str
) -> AuditEventRow | None:
    """One event, or None."""
    question = _in_words(language).where(TABLE.c.company_id == company_id, TABLE.c.event_id == event_id)
    row = (await connection.execute(question)).one_or_none()
    return None if row is None else _row(row)


async def subjects(connection: AsyncConnection, company_id: UUID, position: int) -> Sequence[Subject]:
    """What an event names."""
    question = (
        select(SUBJECTS.c.field, SUBJECTS.c.subject_id)
        .where(SUBJECTS.c.company_id == company_id, SUBJECTS.c.position == position)
        .order_by(SUBJECTS.c.field)
    )
    return [Subject(field=field, id=subject) for field, subject in await connection.execute(question)]


async def as_recorded(
    connection: AsyncConnection, company_id: UUID, partition: int, position: int
) -> AsRecorded | None:
    """What the store holds at this position; None when it is not the company's."""
    question = select(_RECORDED.c.data, _RECORDED.c.prev_hash, _RECORDED.c.hash).where(
        _RECORDED.c.company_id == company_id,
        _RECORDED.c.partition == partition,
        _RECORDED.c.position == position,
    )
    row = (await connection.execute(question)).one_or_none()
    if row is None:
        return None
    data = row.data if isinstance(row.data, dict) else json.loads(row.data)
    return AsRecorded(data=masked(data), prev_hash=bytes(row.prev_hash).hex(), hash=bytes(row.hash).hex())


def masked(node: Any) -> Any:
    """The same data without ciphertexts of personal data: only whom they are about."""
    match node:
        case dict() if node.keys() == _SEALED_KEYS:
            return {"subject": node["subject"], "masked": True}
        case dict():
            return {key: masked(value) for key, value in node.items()}
        case list():
            return [masked(value) for value in node]
    return node


def _in_words(language: str) -> Select[Any]:
    sentence = _SENTENCES.get(language, TABLE.c.sentence_pt).label("sentence")
    actor = _USERS.c.user_id == TABLE.c.actor_id
    return select(TABLE, sentence, _USERS.c.display_name).outerjoin(_USERS, actor)


def _conditions(selection: AuditSelection) -> list[Any]:
    conditions: list[Any] = equal(
        (TABLE.c.topic, selection.topic),
        (TABLE.c.actor_id, selection.actor_id),
        (TABLE.c.stream_id, selection.stream_id),
        (TABLE.c.command_id, selection.command_id),
        (TABLE.c.correlation_id, selection.correlation_id),
    )
    if selection.recorded_from is not None:
        conditions.append(TABLE.c.recorded_at >= selection.recorded_from)
    if selection.recorded_before is not None:
        conditions.append(TABLE.c.recorded_at < selection.recorded_before)
    if selection.beyond_position is not None:
        conditions.append(TABLE.c.position > selection.beyond_position)
    if not selection.technical:
        conditions.append(TABLE.c.importance != "technical")
    return conditions


def _row(row: Row[Any]) -> AuditEventRow:
    return AuditEventRow(
        id=row.event_id,
        position=row.position,
        topic=row.topic,
        schema_version=row.schema_version,
        importance=row.importance,
        sentence=row.sentence,
        stream_id=row.stream_id,
        version=row.version,
        effective_date=row.effective_date,
        recorded_at=row.recorded_at,
        actor=Actor(row.actor_kind, row.actor_id, row.on_behalf_of),
        actor_name=row.display_name,
        channel=row.channel,
        reason=row.reason,
        command_id=row.command_id,
        correlation_id=row.correlation_id,
        causation_id=row.causation_id,
    )
