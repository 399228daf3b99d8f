"""Reads events row by row, as the text of their columns, for whoever has to name what is wrong with one."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from psycopg import Connection, Copy, sql

from write_model.store.canonical import COLUMNS

Row = list[Any]
"""The columns of an event and its two hashes in hex, as bytes of text; None where the column is null."""

_RECORDED, _REASON = map(COLUMNS.index, ("recorded_at", "reason"))
_NULLABLE_IDS = tuple(map(COLUMNS.index, ("on_behalf_of", "causation_id")))
_ESCAPE = re.compile(rb"\\([bfnrtv\\])")
_UNESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\\": b"\\"}


def rows(
    connection: Connection[Any], partition: int, condition: sql.Composable, company: UUID | None
) -> Iterator[Row]:
    """Every event of a partition for which the condition holds, in order."""
    columns = [
        # Any text may stand in a reason, so a null is told from it by a first character of ours.
        sql.SQL("CASE WHEN reason IS NULL THEN '-' ELSE '+' || reason END")
        if name == "reason"
        else sql.Identifier(name)
        for name in COLUMNS
    ]
    query = sql.SQL(
        "COPY (SELECT {}, encode(prev_hash, 'hex'), encode(hash, 'hex') FROM ccontrol.events "
        "WHERE partition = {} AND {} {} ORDER BY position) TO STDOUT (NULL '-')"
    ).format(
        sql.SQL(", ").join(columns),
        partition,
        condition,
        sql.SQL("" if company is None else "AND company_id = {}").format(company),
    )
    # All events of one append have the same moment, so the last one translated is nearly always it.
    moment, translated = b"", b""
    with connection.cursor().copy(query) as copy:
        for line in _lines(copy):
            row: Row = line.split(b"\t")
            if b"\\" in line:
                row = [_unescaped(text) for text in row]
            if row[_RECORDED] != moment:
                moment = row[_RECORDED]
                translated = _iso(moment)
            row[_RECORDED] = translated
            for index in _NULLABLE_IDS:
                if row[index] == b"-":
                    row[index] = None
            reason = row[_REASON]
            row[_REASON] = None if reason == b"-" else reason[1:]
            yield row


def _lines(copy: Copy) -> Iterator[bytes]:
    """Whole lines. The server sends one per message, but nobody promises that."""
    rest = b""
    for block in copy:
        text = rest + bytes(block)
        *lines, rest = text.split(b"\n")
        yield from lines


def _iso(moment: bytes) -> bytes:
    """`2026-11-23 10:00:00.5+00`, as COPY writes it in UTC, as it is hashed."""
    day, _, time = moment.removesuffix(b"+00").partition(b" ")
    seconds, _, fraction = time.partition(b".")
    return day + b"T" + seconds + b"." + fraction.ljust(6, b"0") + b"Z"


def _unescaped(field: bytes) -> bytes:
    """Undo what COPY does to backslashes and control characters."""
    return _ESCAPE.sub(lambda found: _UNESCAPED[found[1]], field)
