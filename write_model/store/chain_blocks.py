"""Reads a partition in blocks of columns: the fastest way there is to get every event out of the database.

COPY sends a message per row, and both sides spend more on the messages than on what is in them. So the
server is asked for one row per 1,024 events, in which each column of those events is one value: ids end to
end, texts with a separator that no text of ours holds. A block that does not come apart again into as many
values as it has events is given as None; whoever reads looks at its rows one by one then.

Where the canonical form wants something between two columns, it is put there while they are joined, by the
server or by the separator: whoever hashes has the fewer pieces to put together.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection, sql

ROWS = 1_024
_SEPARATOR = b"\x1e"
_ID, _HASH = 36, 32
_DATED = _ID + len(",10:2026-11-23")

# What stands between the moment and the data in the canonical form.
_COMMAND = """
    octet_length(actor_kind) || ':' || actor_kind || ',36:' || actor_id
    || coalesce(',36:' || on_behalf_of, ',-') || ',36:' || command_id || ',36:' || correlation_id
    || coalesce(',36:' || causation_id, ',-') || ',' || octet_length(channel) || ':' || channel || ','
    || coalesce(octet_length(reason) || ':' || reason, '-') || ',' || octet_length(data) || ':'
"""
_COLUMNS = (
    "string_agg(int8send(position), '')",
    "string_agg(company_id::text, '')",
    "string_agg(stream_id::text, '')",
    "string_agg(int4send(version), '')",
    "string_agg(topic || ' ' || schema_version, E'\\x1e')",
    "string_agg(uuid_send(event_id), '')",
    "string_agg(event_id || ',10:' || effective_date, '')",
    "string_agg(timestamptz_send(recorded_at), '')",
    f"string_agg({_COMMAND}, E'\\x1e')",
    "string_agg(data, E',\\x1e') || ','",
    "string_agg(prev_hash, '')",
    "string_agg(hash, '')",
)
_QUERY = """
    COPY (SELECT last, block.* FROM generate_series({first}::bigint, {last}::bigint, {rows}) AS last,
          LATERAL (SELECT {columns} FROM (
              SELECT * FROM ccontrol.events
              WHERE partition = {partition} AND position > last - {rows} AND position <= last {company}
              ORDER BY position) AS event) AS block)
    TO STDOUT (FORMAT binary)
"""


class Block(NamedTuple):
    """Some events that follow each other, column by column."""

    positions: tuple[int, ...]
    company: bytes | None
    """Whose events all of these are; None when they are of several companies."""
    companies: tuple[bytes, ...]
    streams: tuple[bytes, ...]
    versions: tuple[int, ...]
    topics: list[bytes]
    """`sales.sale_confirmed 1`: with the version of the schema."""
    event_ids: bytes
    """All of them end to end, sixteen bytes each."""
    dated: tuple[bytes, ...]
    """The event id and the day, as they stand in the canonical form."""
    moments: tuple[int, ...]
    """Microseconds since 2000."""
    commands: list[bytes]
    """The canonical form from the actor to the length of the data."""
    data: list[bytes]
    """With the comma that ends an event in the canonical form."""
    previous: tuple[bytes, ...]
    hashes: tuple[bytes, ...]


def blocks(
    connection: Connection[Any], partition: int, after: int, head: int, company: UUID | None
) -> Iterator[tuple[int, int, Block | None]]:
    """Events after one position up to another, with the first and last position each block may hold."""
    query = sql.SQL(_QUERY).format(
        first=after + ROWS,
        last=head + ROWS - 1,
        rows=ROWS,
        columns=sql.SQL(", ".join(_COLUMNS)),
        partition=partition,
        company=sql.SQL("" if company is None else "AND company_id = {}").format(company),
    )
    with connection.cursor().copy(query) as copy:
        # As they are, also the texts: what is hashed is bytes.
        copy.set_types(["int8", *["bytea"] * len(_COLUMNS)])
        for last, *columns in copy.rows():
            if columns[0] is not None:
                yield last - ROWS + 1, last, _block(*columns)


def _block(
    positions: bytes,
    companies: bytes,
    streams: bytes,
    versions: bytes,
    topics: bytes,
    event_ids: bytes,
    dated: bytes,
    moments: bytes,
    commands: bytes,
    data: bytes,
    previous: bytes,
    hashes: bytes,
) -> Block | None:
    count = len(positions) // 8
    texts = [column.split(_SEPARATOR) for column in (topics, commands, data)]
    if (
        any(len(column) != count for column in texts)
        or len(dated) != count * _DATED
        or not len(previous) == len(hashes) == count * _HASH
    ):
        return None
    ids, digests, longs = _parts(count, _ID), _parts(count, _HASH), _numbers(count, "q")
    company = companies[:_ID]
    return Block(
        longs.unpack(positions),
        company if companies == company * count else None,
        ids.unpack(companies),
        ids.unpack(streams),
        _numbers(count, "i").unpack(versions),
        texts[0],
        event_ids,
        _parts(count, _DATED).unpack(dated),
        longs.unpack(moments),
        texts[1],
        texts[2],
        digests.unpack(previous),
        digests.unpack(hashes),
    )


@lru_cache(maxsize=4 * ROWS)
def _parts(count: int, length: int) -> struct.Struct:
    return struct.Struct(f"{length}s" * count)


@lru_cache(maxsize=2 * ROWS)
def _numbers(count: int, kind: str) -> struct.Struct:
    return struct.Struct(f">{count}{kind}")
