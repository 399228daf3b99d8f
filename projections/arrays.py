"""Columns as binary PostgreSQL arrays, packed in one go.

psycopg can dump lists, but looks at every value to find its type: 0.5 µs each, and a rebuild dumps some fifty
values an event. These know their type from the column, so they also say what an array of nulls is.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from struct import Struct, pack
from typing import Any, ClassVar

import psycopg
from psycopg import adapt, pq
from psycopg.abc import Buffer

_HEADER = Struct("!iiIii")
_EMPTY = Struct("!iiI")
_LENGTH = Struct("!i").pack
_INTEGER = Struct("!ii").pack
_BIGINT = Struct("!iq").pack
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


def _register(element: str, body: Callable[[Sequence[Any]], bytes]) -> None:
    known = psycopg.adapters.types[element]
    kind: type[Packed] = type(f"{element.title()}Array", (Packed,), {"element": element, "__slots__": ()})
    dumper = type(f"{element.title()}Dumper", (_PackedDumper,), {"oid": known.array_oid})
    ADAPTERS.register_dumper(kind, dumper)

    def packed(values: Sequence[Any]) -> Packed:
        if not values:
            return kind(_EMPTY.pack(0, 0, known.oid))
        return kind(_HEADER.pack(1, 1, known.oid, len(values), 1) + body(values))

    PACKS[element] = packed


# Each of these packs the elements: the length of one, then itself, over and over.


def _numbers(code: str, length: int) -> Callable[[Sequence[Any]], bytes]:
    one = Struct(f"!i{code}").pack

    def body(values: Sequence[Any]) -> bytes:
        if None in values:
            return b"".join([_NULL if value is None else one(length, value) for value in values])
        flat = [length] * (2 * len(values))
        flat[1::2] = values
        return pack("!" + f"i{code}" * len(values), *flat)

    return body


def _repeated(part: Callable[[Any], bytes]) -> Callable[[Sequence[Any]], bytes]:
    """Columns of a page mostly hold few values over and over: then each is packed once."""

    def body(values: Sequence[Any]) -> bytes:
        distinct = set(values)
        if 2 * len(distinct) > len(values):
            return b"".join([_NULL if value is None else part(value) for value in values])
        packed = {value: _NULL if value is None else part(value) for value in distinct}
        return b"".join(map(packed.__getitem__, values))

    return body


def _uuids(values: Sequence[Any]) -> bytes:
    # Looked for among numbers, as a UUID compares itself in Python.
    numbers = [None if value is None else value.int for value in values]
    if None in numbers:
        return b"".join(
            [_NULL if number is None else _UUID_LENGTH + number.to_bytes(16) for number in numbers]
        )
    return _UUID_LENGTH + _UUID_LENGTH.join([number.to_bytes(16) for number in numbers if number is not None])


def _text(value: str) -> bytes:
    text = value.encode()
    return _LENGTH(len(text)) + text


def _date(value: date) -> bytes:
    return _INTEGER(4, value.toordinal() - _DAY_ZERO)


def _instant(value: datetime) -> bytes:
    since = value - _INSTANT_ZERO
    return _BIGINT(8, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


_register("int2", _numbers("h", 2))
_register("int4", _numbers("i", 4))
_register("int8", _numbers("q", 8))
_register("bool", _numbers("?", 1))
_register("uuid", _uuids)
_register("text", _repeated(_text))
_register("date", _repeated(_date))
_register("timestamptz", _repeated(_instant))
