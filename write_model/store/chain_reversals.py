"""Does everything that says it undoes something point at what was there and was not undone before?

Only the few events that reverse are decoded, and the streams they point at. Hashes do not see this: whoever
can append, or make the chain fit again, can record a reversal of nothing.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from write_model.ledger.journal_entry import JournalEntry
from write_model.message import stream_id_of
from write_model.store.chain_walk import Violation

_POSTED, _REVERSED = "ledger.journal_entry_posted", "ledger.journal_entry_reversed"
_SETTLED, _UNSETTLED = "settlement.instalment_settled", "settlement.settlement_reversed"

# A quote within a JSON string is escaped, so the text looked for is a key of its own wherever it stands.
_REVERSALS = """
    SELECT partition, position, company_id, stream_id, topic, data FROM ccontrol.events
    WHERE partition = %(partition)s AND position > %(after)s
      AND (%(company)s::uuid IS NULL OR company_id = %(company)s)
      AND (topic IN ('ledger.journal_entry_reversed', 'settlement.settlement_reversed')
           OR topic = 'ledger.journal_entry_posted' AND data NOT LIKE '%%"reverses":null%%')
    ORDER BY position
"""
_STREAMS = """
    SELECT company_id, stream_id, position, topic, data FROM ccontrol.events
    WHERE partition = %s AND stream_id = ANY(%s) AND topic = ANY(%s) ORDER BY position
"""

_Past = dict[tuple[UUID, UUID], list[tuple[int, str, dict[str, Any]]]]


def reversals(
    connection: Connection[Any], partition: int, after: int, company: UUID | None
) -> Iterator[Violation]:
    """What does not hold of the reversals of one partition behind a position."""
    asked = {"partition": partition, "after": after, "company": company}
    found = [
        (position, owner, stream, topic, _read(data))
        for _, position, owner, stream, topic, data in connection.execute(_REVERSALS, asked)
    ]
    pointed = {_target(owner, stream, topic, data) for _, owner, stream, topic, data in found} - {None}
    past: _Past = defaultdict(list)
    for owner, stream, position, topic, data in connection.execute(
        _STREAMS, (partition, list(pointed), [_POSTED, _REVERSED, _SETTLED, _UNSETTLED])
    ):
        past[owner, stream].append((position, topic, _read(data)))
    for position, owner, stream, topic, data in found:
        target = _target(owner, stream, topic, data)
        if target is None:
            continue  # not a reversal, or not readable: then its hash or its balance says so
        wrong = _wrong(position, topic, data, past[owner, target])
        if wrong is not None:
            kind, meaning, expected, seen = wrong
            yield Violation(
                kind=kind,
                meaning=meaning,
                partition=partition,
                position=position,
                company_id=owner,
                stream_id=stream,
                expected=expected,
                found=seen,
            )


def _target(owner: UUID, stream: UUID, topic: str, data: dict[str, Any]) -> UUID | None:
    """The stream in which that is recorded which is undone."""
    if topic != _POSTED:
        return stream
    try:
        return stream_id_of(owner, JournalEntry.kind, UUID(data["reverses"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _wrong(
    position: int, topic: str, data: dict[str, Any], past: list[tuple[int, str, dict[str, Any]]]
) -> tuple[str, str, str, str] | None:
    """Word, meaning, expected, found."""
    done, undone = (_SETTLED, _UNSETTLED) if topic == _UNSETTLED else (_POSTED, _REVERSED)
    if topic == _UNSETTLED:
        about = data.get("settlement_id")
        past = [each for each in past if each[2].get("settlement_id") == about]
    if not any(each[1] == done and each[0] < position for each in past):
        return "reversal-of-nothing", "what this undoes was not recorded before it", f"an earlier {done}", ""
    undoings = [each for each in past if each[1] == undone]
    if topic == _POSTED:
        by = [each[2].get("reversed_by") for each in undoings]
        if data.get("entry_id") not in by[:1]:
            meaning = "what this undoes is not marked as undone by it"
            return "reversed-twice", meaning, str(data.get("entry_id")), str(by[0] if by else "")
    elif undoings[0][0] != position:
        return "reversed-twice", "what this undoes was undone before", "", f"position {undoings[0][0]}"
    return None


def _read(data: str) -> dict[str, Any]:
    try:
        read = msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return {}
    return read if isinstance(read, dict) else {}
