"""Which rows of a list, and in which order: spans of days, pages by key, text without accents."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, literal, tuple_

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Days:
    """From `first`, before `end`; None is open."""

    first: date | None = None
    end: date | None = None

    def up_to(self, last: date | None) -> "Days":
        """The same days, but none after `last`."""
        if last is None:
            return self
        end = last + _ONE_DAY
        return Days(self.first, end if self.end is None else min(self.end, end))

    def within(self, column: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """The conditions on a column of dates."""
        conditions: list[ColumnElement[bool]] = []
        if self.first is not None:
            conditions.append(column >= self.first)
        if self.end is not None:
            conditions.append(column < self.end)
        return conditions


ANY_DAY = Days()


def equal(*wanted: tuple[ColumnElement[Any], Any]) -> list[ColumnElement[bool]]:
    """Column equals value, for every value that was asked for."""
    return [column == value for column, value in wanted if value is not None]


def beyond(
    columns: Sequence[ColumnElement[Any]], after: tuple[Any, ...] | None, *, descending: bool = False
) -> list[ColumnElement[bool]]:
    """What comes after the last row of the page before, in the order of these columns."""
    if after is None:
        return []
    # Row comparison, which an index over the same columns answers.
    row = tuple_(*columns)
    return [row < tuple_(*_bound(columns, after)) if descending else row > tuple_(*_bound(columns, after))]


def _bound(columns: Sequence[ColumnElement[Any]], after: tuple[Any, ...]) -> list[Any]:
    return [literal(value, column.type) for column, value in zip(columns, after, strict=True)]


def folded(*texts: str | None) -> str:
    """Lower case without accents: what `contains` looks into."""
    whole = unicodedata.normalize("NFKD", " ".join(text for text in texts if text))
    return "".join(letter for letter in whole if not unicodedata.combining(letter)).casefold()


def contains(column: ColumnElement[Any], asked: str | None) -> list[ColumnElement[bool]]:
    """Every word of `asked` stands somewhere in the folded column.

    Reads the company's rows one by one: right for directories, whose size is that of a company.
    """
    if asked is None:
        return []
    return [column.contains(word, autoescape=True) for word in folded(asked).split()]
