"""Columns as binary PostgreSQL arrays.

A batch goes to the database as two dozen parallel arrays. Lists would do, but their element type is found by
looking at every element, and an empty or all-null list has none; these know theirs, and are packed in one go.
"""

from collections.abc import Callable
from datetime import date
from struct import Struct
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from psycopg import adapt, pq
from psycopg.abc import AdaptContext, Buffer

T = TypeVar("T")
_HEADER = Struct("!iiIii")
_EMPTY = Struct("!iiI")
_LENGTH = Struct("!i")
_INTEGER = Struct("!ii")
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


class Integers(Column[int]):
    """int4[]"""

    __slots__ = ()


class Dates(Column[date]):
    """date[]"""

    __slots__ = ()


class Bytes(Column[bytes]):
    """bytea[]"""

    __slots__ = ()


def _packed_bytes(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _packed_text(value: str) -> bytes:
    return _packed_bytes(value.encode())


def _packed_uuid(value: UUID) -> bytes:
    return _UUID_LENGTH + value.bytes


def _packed_integer(value: int) -> bytes:
    return _INTEGER.pack(4, value)


def _packed_date(value: date) -> bytes:
    return _INTEGER.pack(4, value.toordinal() - _POSTGRES_DAY_ZERO)


class _ColumnDumper(adapt.Dumper):
    format = pq.Format.BINARY
    element_oid: ClassVar[int]
    pack: ClassVar[Any]  # a function of one element; typed as one it would be taken for a method

    def dump(self, obj: Column[Any]) -> Buffer | None:
        if not obj:
            return _EMPTY.pack(0, 0, self.element_oid)
        pack = self.pack
        has_nulls = None in obj
        elements = [_NULL if value is None else pack(value) for value in obj]
        return _HEADER.pack(1, has_nulls, self.element_oid, len(obj), 1) + b"".join(elements)


# The numbers are fixed in PostgreSQL's own catalogue: an array type, its element, how one is packed.
_TYPES: tuple[tuple[type[Column[Any]], int, int, Callable[[Any], bytes]], ...] = (
    (Uuids, 2951, 2950, _packed_uuid),
    (Texts, 1009, 25, _packed_text),
    (Integers, 1007, 23, _packed_integer),
    (Dates, 1182, 1082, _packed_date),
    (Bytes, 1001, 17, _packed_bytes),
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
