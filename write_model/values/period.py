"""A period (competência): one month of the books."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from typing import Final

from write_model.values.dates import YEAR_MAX, YEAR_MIN, plain_date
from write_model.values.invalid import Invalid

_PERIOD: Final = re.compile(r"([0-9]{4})-([0-9]{2})")


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A calendar month; periods are ordered by time."""

    year: int
    month: int

    def __post_init__(self) -> None:
        if type(self.year) is not int or type(self.month) is not int:
            raise _invalid()
        if not (YEAR_MIN <= self.year <= YEAR_MAX and 1 <= self.month <= 12):
            raise _invalid()

    @classmethod
    def of(cls, day: date) -> Period:
        """Return the period a date belongs to."""
        plain_date(day)
        return cls(day.year, day.month)

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read ``2026-11``."""
        if not isinstance(text, str):
            raise _invalid()
        found = _PERIOD.fullmatch(text)
        if found is None:
            raise _invalid()
        return cls(int(found[1]), int(found[2]))

    def plus(self, months: int) -> Period:
        """Return the period so many months later, or earlier when negative."""
        year, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return Period(year, month + 1)

    def next(self) -> Period:
        """Return the period that follows."""
        return self.plus(1)

    def previous(self) -> Period:
        """Return the period before."""
        return self.plus(-1)

    @property
    def first_day(self) -> date:
        """The first day of the month."""
        return date(self.year, self.month, 1)

    @property
    def last_day(self) -> date:
        """The last day of the month."""
        return date(self.year, self.month, monthrange(self.year, self.month)[1])

    def day(self, number: int) -> date:
        """Return that day of the month, or the month's last day when it is shorter."""
        return date(self.year, self.month, min(number, self.last_day.day))

    def contains(self, day: date) -> bool:
        """Whether the date falls in this month."""
        return Period.of(day) == self

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


def _invalid() -> Invalid:
    return Invalid("invalid-period", "A period is a year from 1900 to 2200 and a month.")
