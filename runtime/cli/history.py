"""Reads events the way an auditor does: as the role `auditor`, which writes nothing and decrypts nothing.

Personal data therefore comes out masked, whatever the caller might be allowed to see elsewhere.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NewType, get_type_hints
from uuid import UUID

import psycopg

from runtime.cli.outcome import Exit, Stop, usage
from write_model.message import COMMANDS, Personal, Recorded, State, sentence, stream_id_of
from write_model.store import topics
from write_model.store.connections import AUDITOR, conninfo
from write_model.store.partitions import partition_of
from write_model.store.rows import EVENT_COLUMNS, recorded_of
from write_model.values.identifiers import PREFIXES, decode, encode
from write_model.values.invalid import Invalid
from write_model.values.money import Money
from write_model.values.quantity import Quantity, UnitPrice
from write_model.values.tax_number import TaxNumber

MASKED = "•••"
_PAGE = 1_000

Connection = psycopg.Connection[tuple[Any, ...]]


def connect(url: str, company_id: UUID | None) -> Connection:
    """One reading connection; with a company, row level security shows nothing else."""
    topics.load()
    settings = {} if company_id is None else {"ccontrol.company": str(company_id)}
    return psycopg.connect(conninfo(url, AUDITOR, **settings), autocommit=True)


def heads(connection: Connection) -> dict[int, int]:
    """The last position of every partition."""
    return dict(connection.execute("SELECT partition, position FROM ccontrol.partition_heads").fetchall())


def events_after(
    connection: Connection, positions: Mapping[int, int], company_id: UUID | None
) -> Iterator[Recorded]:
    """What was appended after these positions, partition by partition, each in order."""
    for partition, after in positions.items():
        position = after
        while page := _page(connection, partition, position, company_id):
            yield from page
            position = page[-1].position


def _page(connection: Connection, partition: int, after: int, company_id: UUID | None) -> Sequence[Recorded]:
    rows = connection.execute(
        f"SELECT {EVENT_COLUMNS} FROM ccontrol.events WHERE partition = %s AND position > %s "  # noqa: S608
        "AND (%s::uuid IS NULL OR company_id = %s) ORDER BY position LIMIT %s",
        (partition, after, company_id, company_id, _PAGE),
    ).fetchall()
    return [recorded_of(row, {}) for row in rows]


def positions_at(connection: Connection, moment: datetime) -> dict[int, int]:
    """Where each partition stood at a moment. Moments follow positions, so it is found by halving."""
    found = {}
    for partition, head in heads(connection).items():
        low, high = 0, head
        while low < high:
            middle = (low + high + 1) // 2
            row = connection.execute(
                "SELECT recorded_at < %s FROM ccontrol.events WHERE partition = %s AND position = %s",
                (moment, partition, middle),
            ).fetchone()
            low, high = (middle, high) if row is not None and row[0] else (low, middle - 1)
        found[partition] = low
    return found


def event(connection: Connection, event_id: UUID) -> Recorded:
    """One event by its id."""
    row = connection.execute(
        f"SELECT {EVENT_COLUMNS} FROM ccontrol.events WHERE event_id = %s",  # noqa: S608
        (event_id,),
    ).fetchone()
    if row is None:
        raise Stop(Exit.NOT_FOUND, "not-found", f"there is no event {encode('evt', event_id)}")
    return recorded_of(row, {})


def stream(connection: Connection, company_id: UUID, stream_id: UUID) -> list[Recorded]:
    """Everything that happened to one thing, in order."""
    partition = partition_of(company_id, len(heads(connection)))
    rows = connection.execute(
        f"SELECT {EVENT_COLUMNS} FROM ccontrol.events WHERE partition = %s AND stream_id = %s "  # noqa: S608
        "AND company_id = %s ORDER BY version",
        (partition, stream_id, company_id),
    ).fetchall()
    return [recorded_of(row, {}) for row in rows]


# --- naming things ------------------------------------------------------------------------------------


def kinds() -> dict[str, type[State]]:
    """What can be named on the command line: `sale`, `instalment`, `bank-account`…"""
    from api.commands import load_commands

    load_commands()
    found: dict[str, type[State]] = {}
    for state in _descendants(State):
        if hasattr(state, "kind"):
            found[re.sub(r"(?<!^)(?=[A-Z])", "-", state.__name__).lower()] = state
    for meta in COMMANDS.values():
        found.setdefault(meta.resource, meta.on)
    return {name.replace("_", "-"): state for name, state in sorted(found.items())}


def named(kind: str, text: str, company_id: UUID) -> tuple[type[State], UUID]:
    """The state class and the stream of one thing, named by its type and its public id (or bare key)."""
    from write_model.settlement.receivable import Receivable, receivable_of

    known = kinds()
    state = known.get(kind.replace("_", "-"))
    if state is None:
        raise usage(f"there is no type {kind!r}", f"there are: {', '.join(known)}")
    key: UUID | str = text
    prefix, separator, body = text.partition("_")
    if separator and prefix in PREFIXES.values() and len(body) == 26:
        try:
            key = decode(prefix, text)
        except Invalid:
            raise usage(f"{text!r} is not an id") from None
    else:
        try:
            key = UUID(text)
        except ValueError:
            key = text
    if state is Receivable and isinstance(key, UUID):
        key = receivable_of(key)  # an instalment or a settlement lives in its title
    return state, stream_id_of(company_id, state.kind, key)


def _descendants(kind: type[State]) -> Iterator[type[State]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)


# --- showing things -----------------------------------------------------------------------------------


def shown(recorded: Recorded, language: str) -> dict[str, Any]:
    """An event with its whole trail, JSON-ready and masked."""
    actor = {"kind": recorded.actor_kind, "id": str(recorded.actor_id)}
    if recorded.actor_kind == "user":
        actor["id"] = encode("usr", recorded.actor_id)
    return {
        "id": encode("evt", recorded.event_id),
        "position": recorded.position,
        "partition": recorded.partition,
        "company_id": encode("cmp", recorded.company_id),
        "stream_id": str(recorded.stream_id),
        "version": recorded.version,
        "type": recorded.topic,
        "schema_version": recorded.schema_version,
        "summary": sentence(recorded.event, language),
        "effective_date": recorded.effective_date.isoformat(),
        "recorded_at": recorded.recorded_at.isoformat().replace("+00:00", "Z"),
        "actor": actor,
        "channel": recorded.channel,
        "reason": recorded.reason,
        "command_id": encode("cmd", recorded.command_id),
        "correlation_id": str(recorded.correlation_id),
        "causation_id": None if recorded.causation_id is None else str(recorded.causation_id),
        "data": plain(recorded.event),
    }


def state_of(state: State) -> dict[str, Any]:
    """What a state holds, JSON-ready and masked."""
    names = [name for kind in type(state).__mro__ for name in getattr(kind, "__slots__", ())]
    return {name: plain(getattr(state, name)) for name in sorted(names)}


def plain(value: Any, hint: Any = None) -> Any:
    """A value of the write model as JSON: ids in their public form where their kind is known."""
    match value:
        case None | bool() | int() | str():
            return value
        case Personal():
            return MASKED
        case TaxNumber():
            return MASKED
        case Money():
            return {"amount": value.amount, "currency": value.currency}
        case UUID():
            prefix = PREFIXES.get(hint)
            return encode(prefix, value) if prefix else str(value)
        case datetime() | date():
            return value.isoformat()
        case Decimal() | Quantity() | UnitPrice():
            return str(value)
        case Mapping():
            return {_key(key): plain(item) for key, item in value.items()}
        case tuple() | list():
            return [plain(item) for item in value]
        case set() | frozenset():
            return sorted(str(plain(item)) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        hints = _ids(type(value))
        return {item.name: plain(getattr(value, item.name), hints.get(item.name)) for item in fields(value)}
    return str(value)


def _key(key: object) -> str:
    made = plain(key)
    return made if isinstance(made, str) else str(made)


@lru_cache(maxsize=512)
def _ids(kind: type) -> Mapping[str, object]:
    """The fields that are ids of a known kind, optional ones too."""
    found: dict[str, object] = {}
    for name, hint in get_type_hints(kind).items():
        for part in (hint, *getattr(hint, "__args__", ())):
            if isinstance(part, NewType) and part in PREFIXES:
                found[name] = part
    return found
