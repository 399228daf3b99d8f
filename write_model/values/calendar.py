"""Business days of the national bank calendar, with a company's own holidays beside it."""

from __future__ import annotations

from collections.abc import Container
from datetime import date, timedelta
from functools import cache
from typing import Final

from write_model.values.dates import plain_date
from write_model.values.invalid import Invalid

# Beyond its last year the holiday library answers "no holidays" instead of failing, so the limit is ours.
_LAST_YEAR: Final = 2100
_SATURDAY: Final = 5
_ONE_DAY: Final = timedelta(days=1)


def is_business_day(day: date, company_holidays: Container[date] = frozenset()) -> bool:
    """Whether banks work on that day and it is none of the company's own (municipal) holidays."""
    if plain_date(day).year > _LAST_YEAR:
        raise Invalid("date-out-of-range", f"Bank holidays are known until the year {_LAST_YEAR}.")
    return day.weekday() < _SATURDAY and day not in _bank_holidays(day.year) and day not in company_holidays


def next_business_day(day: date, company_holidays: Container[date] = frozenset()) -> date:
    """Return the day itself when it is a business day, otherwise the first one after it."""
    while not is_business_day(day, company_holidays):
        day += _ONE_DAY
    return day


@cache
def _bank_holidays(year: int) -> frozenset[date]:
    # Imported on first use: it is the slowest import of the room and most commands never ask.
    from holidays import financial_holidays

    exchange = financial_holidays("BVMF", years=[year])
    # The exchange also rests on 24 December and on the year's last trading day (the library lists both
    # since 0.109 or a little before), but for banks these are business days: of that week only Christmas.
    return frozenset(day for day in exchange if day.month != 12 or day.day < 24 or day.day == 25)
