"""Columns as binary PostgreSQL arrays.

A batch goes to the database as two dozen parallel arrays. Lists would do, but their element type is found by
looking at every element, and an empty or all-null list has none; these know theirs, and are packed in one go.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import date
from struct import Struct
from typing import Any, ClassVar, Generic, TypeVar, cast
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


class _ColumnDumper(adapt.Dumper):
    format = pq.Format.BINARY
    element_oid: ClassVar[int]
    pack: ClassVar[Any]  # a function of the elements; typed as one it would be taken for a method

    def dump(self, obj: Column[Any]) -> Buffer | None:
        if not obj:
            return _EMPTY.pack(0, 0, self.element_oid)
        has_nulls = None in obj
        header = _HEADER.pack(1, has_nulls, self.element_oid, len(obj), 1)
        if not has_nulls:
            return header + cast("bytes", self.pack(obj))
        return header + b"".join([_NULL if value is None else self.pack((value,)) for value in obj])


# The numbers are fixed in PostgreSQL's own catalogue: an array type, its element, how one is packed.
_TYPES: tuple[tuple[type[Column[Any]], int, int, Callable[[Any], bytes]], ...] = (
    (Uuids, 2951, 2950, _pack_uuids),
    (Texts, 1009, 25, _pack_texts),
    (Names, 1009, 25, _pack_names),
    (Integers, 1007, 23, _pack_integers),
    (Dates, 1182, 1082, _pack_dates),
    (Bytes, 1001, 17, _pack_bytes),
)


_DUMPERS: tuple[tuple[type[Column[Any]], type[adapt.Dumper]], ...] = tuple(
    (
        kind,
        type(
            f"{kind.__name__}Dumper",
            (_ColumnDumper,),
            {"oid": oid, "element_oid": element_oid, "pack": staticmethod(pack)},
        ),
    )
    for kind, oid, element_oid, pack in _TYPES
)


def register(context: AdaptContext) -> None:
    """Teach a connection to send columns."""
    for kind, dumper in _DUMPERS:
        context.adapters.register_dumper(kind, dumper)
