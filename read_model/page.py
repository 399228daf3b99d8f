"""Lists in pages: opaque cursors bound to the question they belong to, and keyset paging.

A cursor holds the sort values of the row at the edge of a page. The next page begins behind that row,
wherever it is by then, so rows that come or go meanwhile shift nothing.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, or_

LIMIT_DEFAULT = 25
LIMIT_MAX = 200

R = TypeVar("R")


class BadCursor(ValueError):
    """The cursor is damaged, or belongs to another question."""


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """One page of rows, and the cursors of the pages beside it."""

    rows: tuple[R, ...]
    next_cursor: str | None
    prev_cursor: str | None
    limit: int

    @property
    def has_more(self) -> bool:
        return self.next_cursor is not None


@dataclass(frozen=True, slots=True)
class Sort:
    """One column to sort by. A list sorts by several; the last ones make the order of rows complete.

    The column must not be null: a row that compares with nothing would be lost between two pages.
    """

    name: str
    column: ColumnElement[Any]
    descending: bool = False


class Paging:
    """The paging of one question: its filters, its order, and the page that is asked for."""

    def __init__(
        self,
        sorts: Sequence[Sort],
        *,
        filters: Mapping[str, object],
        cursor: str | None = None,
        limit: int = LIMIT_DEFAULT,
    ) -> None:
        self._sorts = sorts
        self._limit = max(1, min(limit, LIMIT_MAX))
        self._binding = _binding(sorts, filters)
        self._backward = False
        self._edge: list[Any] | None = None
        if cursor is not None:
            self._backward, self._edge = _opened(cursor, self._binding, len(sorts))

    def narrow(self, select: Select[Any]) -> Select[Any]:
        """The question for this page only, and one row more, to know whether there is another page."""
        if self._edge is not None:
            select = select.where(self._behind(self._edge))
        order = [
            sort.column.desc() if sort.descending != self._backward else sort.column.asc()
            for sort in self._sorts
        ]
        return select.order_by(None).order_by(*order).limit(self._limit + 1)

    def page(self, rows: Sequence[R]) -> Page[R]:
        """The page of the rows that were found; each has the sort values as attributes of their names."""
        more = len(rows) > self._limit
        kept = list(rows[: self._limit])
        if self._backward:
            kept.reverse()
        forward = more if not self._backward else True
        backward = self._edge is not None if not self._backward else more
        return Page(
            tuple(kept),
            self._cursor(kept[-1], backward=False) if kept and forward else None,
            self._cursor(kept[0], backward=True) if kept and backward else None,
            self._limit,
        )

    def _behind(self, edge: Sequence[Any]) -> ColumnElement[bool]:
        """(a, b) behind (x, y): a behind x, or a = x and b behind y; each in its own direction."""
        choices = []
        for place, sort in enumerate(self._sorts):
            equal = [before.column == value for before, value in zip(self._sorts[:place], edge, strict=False)]
            down = sort.descending != self._backward
            choices.append(and_(*equal, sort.column < edge[place] if down else sort.column > edge[place]))
        return or_(*choices)

    def _cursor(self, row: object, *, backward: bool) -> str:
        values = [_packed(getattr(row, sort.name)) for sort in self._sorts]
        packed = msgspec.msgpack.encode([self._binding, backward, values])
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _binding(sorts: Sequence[Sort], filters: Mapping[str, object]) -> bytes:
    order = [f"{'-' if sort.descending else ''}{sort.name}" for sort in sorts]
    question = repr((order, sorted((name, str(value)) for name, value in filters.items())))
    return hashlib.blake2b(question.encode(), digest_size=8).digest()


_OPENED = msgspec.msgpack.Decoder(tuple[bytes, bool, list[tuple[str, str]]])


def _opened(cursor: str, binding: bytes, count: int) -> tuple[bool, list[Any]]:
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        bound_to, backward, values = _OPENED.decode(packed)
        edge = [_TYPES[kind](value) for kind, value in values]
    except (ValueError, ArithmeticError, KeyError, msgspec.MsgspecError) as error:
        raise BadCursor("damaged") from error
    if bound_to != binding or len(edge) != count:
        raise BadCursor("of another question")
    return backward, edge


_TYPES: dict[str, Any] = {
    "s": str,
    "i": int,
    "u": UUID,
    "d": date.fromisoformat,
    "t": datetime.fromisoformat,
    "n": Decimal,
    "b": lambda text: text == "True",
}


def _packed(value: object) -> tuple[str, str]:
    match value:
        case bool():
            return "b", str(value)
        case str():
            return "s", value
        case int():
            return "i", str(value)
        case UUID():
            return "u", str(value)
        case datetime():
            return "t", value.isoformat()
        case date():
            return "d", value.isoformat()
        case Decimal():
            return "n", str(value)
    raise TypeError(f"cannot sort by a {type(value).__name__}")
