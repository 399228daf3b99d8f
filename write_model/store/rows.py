"""From rows of the store to what the rooms work with."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

from write_model.message import EVENTS, Recorded
from write_model.store import topics
from write_model.store.append import CommandRecord
from write_model.store.canonical import COLUMNS
from write_model.store.connections import Row
from write_model.store.personal_data import KeyRing, SubjectKey, unsealer_of

EVENT_COLUMNS = ", ".join(COLUMNS)
COMMAND_COLUMNS = (
    "command_id, company_id, actor_id, idempotency_key, body_hash, topic, answer::text, partition, "
    "first_position, last_position, recorded_at"
)
KEY_COLUMNS = "company_id, subject_id, key_number, root_id, wrapped_key"

Keys = Mapping[UUID, Mapping[UUID, SubjectKey]]
"""Subject keys by company, then by person."""

_NO_KEYS: Mapping[UUID, SubjectKey] = {}
_COMPANY, _TOPIC, _DATA = (COLUMNS.index(name) for name in ("company_id", "topic", "data"))


def subjects_of(rows: Iterable[Row]) -> dict[UUID, set[UUID]]:
    """The people whose sealed texts stand in these events, by company."""
    subjects: dict[UUID, set[UUID]] = defaultdict(set)
    for row in rows:
        kind = EVENTS.get(row[_TOPIC])
        if kind is not None and topics.has_personal_data(kind):
            subjects[row[_COMPANY]].update(topics.subjects_in(row[_DATA]))
    return subjects


def keys_of(rows: Iterable[Row], ring: KeyRing) -> Keys:
    """Subject keys, unwrapped."""
    keys: dict[UUID, dict[UUID, SubjectKey]] = defaultdict(dict)
    for company_id, subject, number, root_id, wrapped in rows:
        keys[company_id][subject] = SubjectKey(number, ring.unwrap(company_id, subject, root_id, wrapped))
    return keys


def recorded_of(row: Row, keys: Keys) -> Recorded:
    """One event of the store, decoded."""
    (
        partition,
        position,
        company_id,
        stream_id,
        version,
        topic,
        schema_version,
        event_id,
        effective_date,
        recorded_at,
        actor_kind,
        actor_id,
        on_behalf_of,
        command_id,
        correlation_id,
        causation_id,
        channel,
        reason,
        data,
    ) = row
    # Without any keys nothing opens, and there is nothing to prepare.
    unseal = unsealer_of(company_id, event_id, keys.get(company_id, _NO_KEYS)) if keys else None
    return Recorded(
        partition=partition,
        position=position,
        company_id=company_id,
        stream_id=stream_id,
        version=version,
        topic=topic,
        schema_version=schema_version,
        event_id=event_id,
        effective_date=effective_date,
        recorded_at=recorded_at,
        actor_kind=actor_kind,
        actor_id=actor_id,
        on_behalf_of=on_behalf_of,
        command_id=command_id,
        correlation_id=correlation_id,
        causation_id=causation_id,
        channel=channel,
        reason=reason,
        event=topics.decode(topic, schema_version, data, unseal),
    )


def command_record_of(row: Row) -> CommandRecord:
    """One row of `COMMAND_COLUMNS`."""
    return CommandRecord(
        command_id=row[0],
        company_id=row[1],
        actor_id=row[2],
        idempotency_key=row[3],
        body_hash=row[4],
        topic=row[5],
        answer=row[6],
        partition=row[7],
        first_position=row[8],
        last_position=row[9],
        recorded_at=row[10],
    )
