"""From rows of the store to what the rooms work with."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from write_model.message import EVENTS, UNREAD, Event, Recorded
from write_model.store import topics
from write_model.store.append import CommandRecord
from write_model.store.canonical import COLUMNS
from write_model.store.connections import Row
from write_model.store.personal_data import KeyRing, SubjectKey, unsealer_of

EVENT_COLUMNS = ", ".join(COLUMNS)
_ORDERING = frozenset(
    {"partition", "position", "stream_id", "version", "topic", "schema_version", "recorded_at"}
)
SOME_EVENT_COLUMNS = ", ".join(
    name if name in _ORDERING else f"CASE WHEN wanted THEN {name} END" for name in COLUMNS
)
"""The same where `wanted`; the others become UNREAD, and of them only what orders events is read: making the
values of the rest is most of what reading a row costs."""
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
    personal: dict[str, bool] = {}
    for row in rows:
        topic = row[_TOPIC]
        if topic not in personal:
            personal[topic] = _has_personal_data(topic)
        if personal[topic] and row[_DATA] is not None:
            subjects[row[COMPANY]].update(topics.subjects_in(row[_DATA]))
    return subjects


def _has_personal_data(topic: str) -> bool:
    kind = EVENTS.get(topic)
    return kind is not None and topics.has_personal_data(kind)


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
            personal[topic] = _has_personal_data(topic)
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
    """One event of the store, decoded: a row of `EVENT_COLUMNS`."""
    (recorded,) = all_recorded((row,), keys)
    return recorded


def all_recorded(rows: Iterable[Row], keys: Keys) -> list[Recorded]:
    """Events of the store, decoded: rows of `EVENT_COLUMNS` or of `SOME_EVENT_COLUMNS`.

    Raises UnknownTopic for what only a newer program can read, also where nobody wants its content.
    """
    readers: dict[str, _Reader] = {}
    none: _Reader = (0, None)
    make = tuple.__new__  # `Recorded._make` is a function in Python, and one call more for every event
    page = []
    for row in rows:
        topic, schema_version, data = row[_TOPIC], row[_SCHEMA_VERSION], row[_DATA]
        known, read = readers.get(topic, none)
        if known != schema_version:
            read = topics.reader_of(topic, schema_version)
            readers[topic] = (schema_version, read)
        if data is None:
            event: Event = UNREAD
        elif read is not None:
            event = read(data)
        else:
            event = topics.decode(topic, schema_version, data, _unsealing(row, keys))
        # `Recorded` has its fields in the order of the columns.
        page.append(make(Recorded, row[:_DATA] + (event,)))  # noqa: RUF005 - a starred tuple is made twice
    return page


_Reader = tuple[int, Callable[[str], Event] | None]
"""A schema version, and what reads the texts of a topic in it by itself."""


def _unsealing(row: Row, keys: Keys) -> topics.Unseal | None:
    """What opens the personal texts of an event. Without any keys nothing opens."""
    if not keys:
        return None
    company_id = row[COMPANY]
    return unsealer_of(company_id, row[_EVENT_ID], keys.get(company_id, _NO_KEYS))


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
