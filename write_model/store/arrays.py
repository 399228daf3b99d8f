"""Columns as binary PostgreSQL arrays.

A batch goes to the database as two dozen parallel arrays. Lists would do, but their element type is found by
looking at every element, and an empty or all-null list has none; these know theirs, and are packed in one go.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import date
from operator import attrgetter
from struct import Struct
from typing import Any, Generic, TypeVar
from uuid import UUID

from psycopg import adapt, pq
from psycopg.abc import AdaptContext, Buffer

T = TypeVar("T")
_HEADER = Struct("!iiIii")
_EMPTY = Struct("!iiI")
_LENGTH = Struct("!i")
_NULL = _LENGTH.pack(-1)
_UUID_LENGTH = _LENGTH.pack(16)
_POSTGRES_DAY_ZERO = date(2000, 1, 1).toordinal()


class Column(list[T | None], Generic[T]):
    """One column of a batch."""

    __slots__ = ()


class Uuids(Column[UUID]):
    """uuid[]"""

    __slots__ = ()


class Texts(Column[str]):
    """text[]"""

    __slots__ = ()


class Names(Texts):
    """text[] of few different values: each is encoded once."""

    __slots__ = ()


class Integers(Column[int]):
    """int4[]"""

    __slots__ = ()


class Dates(Column[date]):
    """date[]"""

    __slots__ = ()


class Bytes(Column[bytes]):
    """bytea[]"""

    __slots__ = ()


# Each packs a column without nulls: the length of an element, then the element, over and over.


def _pack_bytes(values: Sequence[bytes]) -> bytes:
    length = _LENGTH.pack
    return b"".join([part for value in values for part in (length(len(value)), value)])


def _pack_texts(values: Sequence[str]) -> bytes:
    return _pack_bytes([value.encode() for value in values])


def _pack_names(values: Sequence[str]) -> bytes:
    packed = {value: _pack_texts((value,)) for value in set(values)}
    return b"".join([packed[value] for value in values])


def _pack_uuids(values: Sequence[UUID]) -> bytes:
    return _UUID_LENGTH + _UUID_LENGTH.join([value.bytes for value in values])


def _pack_integers(values: Sequence[int]) -> bytes:
    numbers = [4] * (2 * len(values))
    numbers[1::2] = values
    return struct.pack(f"!{len(numbers)}i", *numbers)


def _pack_dates(values: Sequence[date]) -> bytes:
    return _pack_integers([value.toordinal() - _POSTGRES_DAY_ZERO for value in values])


def packed(column: Column[Any]) -> bytes:
    """A column as PostgreSQL takes it."""
    element_oid, pack, one, none, encoded = _PACKING[type(column)]
    if len(column) == 1:
        (value,) = column
        if value is None:
            return none
        element = encoded(value)
        return one + _LENGTH.pack(len(element)) + element
    if not column:
        return _EMPTY.pack(0, 0, element_oid)
    has_nulls = None in column
    header = _HEADER.pack(1, has_nulls, element_oid, len(column), 1)
    if not has_nulls:
        return header + pack(column)
    return header + b"".join([_NULL if value is None else pack((value,)) for value in column])


class _ColumnDumper(adapt.Dumper):
    format = pq.Format.BINARY

    def dump(self, obj: Column[Any]) -> Buffer | None:
        return packed(obj)


# The numbers are fixed in PostgreSQL's own catalogue: an array type, its element, how one is packed.
_TYPES: tuple[tuple[type[Column[Any]], int, int, Callable[[Any], bytes]], ...] = (
    (Uuids, 2951, 2950, _pack_uuids),
    (Texts, 1009, 25, _pack_texts),
    (Names, 1009, 25, _pack_names),
    (Integers, 1007, 23, _pack_integers),
    (Dates, 1182, 1082, _pack_dates),
    (Bytes, 1001, 17, _pack_bytes),
)


# The bytes of one element.
_ENCODED: dict[type[Column[Any]], Callable[[Any], bytes]] = {
    Uuids: attrgetter("bytes"),
    Texts: str.encode,
    Names: str.encode,
    Integers: _LENGTH.pack,
    Dates: lambda value: _LENGTH.pack(value.toordinal() - _POSTGRES_DAY_ZERO),
    Bytes: bytes,
}
# What packs the elements; and, as the columns of a lone append have one: the header of one element, the whole
# of a single null, and what encodes one element.
_PACKING: dict[
    type[Column[Any]], tuple[int, Callable[[Any], bytes], bytes, bytes, Callable[[Any], bytes]]
] = {
    kind: (oid, pack, _HEADER.pack(1, 0, oid, 1, 1), _HEADER.pack(1, 1, oid, 1, 1) + _NULL, _ENCODED[kind])
    for kind, _, oid, pack in _TYPES
}
OIDS: dict[type[Column[Any]], int] = {kind: oid for kind, oid, _, _ in _TYPES}
"""The array type of each kind of column."""

_DUMPERS: tuple[tuple[type[Column[Any]], type[adapt.Dumper]], ...] = tuple(
    (
        kind,
        type(f"{kind.__name__}Dumper", (_ColumnDumper,), {"oid": oid}),
    )
    for kind, oid in OIDS.items()
)


def register(context: AdaptContext) -> None:
    """Teach a connection to send columns."""
    for kind, dumper in _DUMPERS:
        context.adapters.register_dumper(kind, dumper)
