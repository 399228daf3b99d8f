"""Columns as binary PostgreSQL arrays, packed in one go.

psycopg can dump lists, but looks at every value to find its type: 0.5 µs each, and a rebuild dumps some fifty
values an event. These know their type from the column, so they also say what an array of nulls is.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from itertools import repeat
from struct import Struct
from typing import Any, ClassVar

import psycopg
from psycopg import adapt, pq
from psycopg.abc import Buffer

_HEADER = Struct("!iiIii")
_EMPTY = Struct("!iiI")
_LENGTH = Struct("!i").pack
_SMALLINT = Struct("!ih").pack
_INTEGER = Struct("!ii").pack
_BIGINT = Struct("!iq").pack
_BOOLEAN = Struct("!i?").pack
_NULL = _LENGTH(-1)
_UUID_LENGTH = _LENGTH(16)
_DAY_ZERO = date(2000, 1, 1).toordinal()
_INSTANT_ZERO = datetime(2000, 1, 1, tzinfo=UTC)


class Packed(bytes):
    """An array as PostgreSQL takes it; one subclass per type of element."""

    __slots__ = ()
    element: ClassVar[str]


class _PackedDumper(adapt.Dumper):
    format = pq.Format.BINARY

    def dump(self, obj: Packed) -> Buffer:
        return obj


Pack = Callable[[Sequence[Any]], Packed]

ADAPTERS = adapt.AdaptersMap(psycopg.adapters)
"""The adapters of connections that rows are written through."""

PACKS: dict[str, Pack] = {}
"""How to pack a column, by its type in SQL."""


def _register(element: str, parts: Callable[[Sequence[Any]], list[bytes]]) -> None:
    known = psycopg.adapters.types[element]
    kind: type[Packed] = type(f"{element.title()}Array", (Packed,), {"element": element, "__slots__": ()})
    dumper = type(f"{element.title()}Dumper", (_PackedDumper,), {"oid": known.array_oid})
    ADAPTERS.register_dumper(kind, dumper)

    def pack(values: Sequence[Any]) -> Packed:
        body = parts(values)
        if not body:
            return kind(_EMPTY.pack(0, 0, known.oid))
        return kind(_HEADER.pack(1, 1, known.oid, len(body), 1) + b"".join(body))

    PACKS[element] = pack


def _numbers(pack: Callable[[int, Any], bytes], length: int) -> Callable[[Sequence[Any]], list[bytes]]:
    def parts(values: Sequence[Any]) -> list[bytes]:
        if None in values:
            return [_NULL if value is None else pack(length, value) for value in values]
        return list(map(pack, repeat(length), values))

    return parts


def _uuids(values: Sequence[Any]) -> list[bytes]:
    return [_NULL if value is None else _UUID_LENGTH + value.int.to_bytes(16) for value in values]


def _texts(values: Sequence[Any]) -> list[bytes]:
    return [_NULL if value is None else _LENGTH(len(t := value.encode())) + t for value in values]


def _dates(values: Sequence[Any]) -> list[bytes]:
    return [_NULL if value is None else _INTEGER(4, value.toordinal() - _DAY_ZERO) for value in values]


def _instants(values: Sequence[Any]) -> list[bytes]:
    return [_NULL if value is None else _BIGINT(8, _microseconds(value)) for value in values]


def _microseconds(value: datetime) -> int:
    since = value - _INSTANT_ZERO
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


_register("int2", _numbers(_SMALLINT, 2))
_register("int4", _numbers(_INTEGER, 4))
_register("int8", _numbers(_BIGINT, 8))
_register("bool", _numbers(_BOOLEAN, 1))
_register("uuid", _uuids)
_register("text", _texts)
_register("date", _dates)
_register("timestamptz", _instants)
