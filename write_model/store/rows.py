"""From rows of the store to what the rooms work with."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from write_model.message import EVENTS, UNREAD, Event, Recorded
from write_model.store import topics
from write_model.store.append import CommandRecord
from write_model.store.canonical import COLUMNS
from write_model.store.connections import Row
from write_model.store.personal_data import KeyRing, SubjectKey, unsealer_of

EVENT_COLUMNS = ", ".join(COLUMNS)
SOME_EVENT_COLUMNS = ", ".join([*COLUMNS[:-1], "CASE WHEN topic = ANY (%b) THEN data END"])
"""The same, with the content of events of some topics only: the others become UNREAD."""
COMMAND_COLUMNS = (
    "command_id, company_id, actor_id, idempotency_key, body_hash, topic, answer::text, partition, "
    "first_position, last_position, recorded_at"
)
FACT_COLUMNS = "asked, version, topic, schema_version, event_id, data"
"""Of `read_facts`; `asked` tells the streams apart."""
FACT_VERSION = 1
KEY_COLUMNS = "company_id, subject_id, key_number, root_id, wrapped_key"

Keys = Mapping[UUID, Mapping[UUID, SubjectKey]]
"""Subject keys by company, then by person."""

_NO_KEYS: Mapping[UUID, SubjectKey] = {}
COMPANY, STREAM, VERSION = (COLUMNS.index(name) for name in ("company_id", "stream_id", "version"))
_TOPIC, _SCHEMA_VERSION, _EVENT_ID, _DATA = (
    COLUMNS.index(name) for name in ("topic", "schema_version", "event_id", "data")
)


def subjects_of(rows: Iterable[Row]) -> dict[UUID, set[UUID]]:
    """The people whose sealed texts stand in these events, by company."""
    subjects: dict[UUID, set[UUID]] = defaultdict(set)
    for row in rows:
        kind = EVENTS.get(row[_TOPIC])
        if kind is not None and topics.has_personal_data(kind) and row[_DATA] is not None:
            subjects[row[COMPANY]].update(topics.subjects_in(row[_DATA]))
    return subjects


class Fact(NamedTuple):
    """What a decision needs to know of a recorded event."""

    version: int
    event: Event


def people_in(rows: Iterable[Row]) -> set[UUID]:
    """The people whose sealed texts stand in these events, rows of `FACT_COLUMNS`."""
    people: set[UUID] = set()
    personal: dict[str, bool] = {}
    for _, _, topic, _, _, data in rows:
        if topic not in personal:
            kind = EVENTS.get(topic)
            personal[topic] = kind is not None and topics.has_personal_data(kind)
        if personal[topic]:
            people.update(topics.subjects_in(data))
    return people


def facts_of(company_id: UUID, rows: Iterable[Row], keys: Mapping[UUID, SubjectKey]) -> list[Fact]:
    """Events of one company, decoded: rows of `FACT_COLUMNS`."""
    facts = []
    before: tuple[str, int] = ("", 0)
    read = None
    for _, version, topic, schema_version, event_id, data in rows:
        if (topic, schema_version) != before:
            before = (topic, schema_version)
            read = topics.reader_of(topic, schema_version)
        if read is not None:
            event = read(data)
        else:
            unseal = unsealer_of(company_id, UUID(bytes=event_id), keys) if keys else None
            event = topics.decode(topic, schema_version, data, unseal)
        facts.append(Fact(version, event))
    return facts


def keys_of(rows: Iterable[Row], ring: KeyRing) -> Keys:
    """Subject keys, unwrapped."""
    keys: dict[UUID, dict[UUID, SubjectKey]] = defaultdict(dict)
    for company_id, subject, number, root_id, wrapped in rows:
        keys[company_id][subject] = SubjectKey(number, ring.unwrap(company_id, subject, root_id, wrapped))
    return keys


def recorded_of(row: Row, keys: Keys) -> Recorded:
    """One event of the store, decoded: a row of `EVENT_COLUMNS` or of `SOME_EVENT_COLUMNS`."""
    data = row[_DATA]
    topic, schema_version = row[_TOPIC], row[_SCHEMA_VERSION]
    if data is None:
        topics.require_known(topic, schema_version)
        return Recorded._make((*row[:_DATA], UNREAD))
    # Without any keys nothing opens, and there is nothing to prepare.
    unseal = None
    if keys:
        company_id = row[COMPANY]
        unseal = unsealer_of(company_id, row[_EVENT_ID], keys.get(company_id, _NO_KEYS))
    # `Recorded` has its fields in the order of the columns.
    return Recorded._make((*row[:_DATA], topics.decode(topic, schema_version, data, unseal)))


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
