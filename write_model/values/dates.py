"""Plain dates: a date is never a timestamp, and never a number.

The standard parser is not used on what clients send: it also reads ``20261130`` and ``2026-W48-1``.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from write_model.values.invalid import Invalid

YEAR_MIN: Final = 1900
YEAR_MAX: Final = 2200

_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")


def parse_date(text: str) -> date:
    """Read ``2026-11-30`` and nothing else."""
    if not isinstance(text, str):
        raise _invalid()
    found = _DATE.fullmatch(text)
    if found is None:
        raise _invalid()
    year, month, day = (int(digits) for digits in found.groups())
    try:
        parsed = date(year, month, day)
    except ValueError:
        raise _invalid() from None
    return plain_date(parsed)


def plain_date(value: date) -> date:
    """Return the date itself; refuse a timestamp and a year outside 1900 to 2200."""
    # The exact type: datetime is a subclass of date, and cutting its time off is how days get lost.
    if type(value) is not date:
        raise _invalid()
    if not YEAR_MIN <= value.year <= YEAR_MAX:
        raise Invalid(
            "date-out-of-range",
            f"Dates are between the years {YEAR_MIN} and {YEAR_MAX}.",
            {"year_min": str(YEAR_MIN), "year_max": str(YEAR_MAX)},
        )
    return value


def _invalid() -> Invalid:
    return Invalid("invalid-date", "A date is written as year-month-day, without a time.")
