"""Business days: the national bank calendar and the company's own holidays."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_model.values.calendar import is_business_day, next_business_day
from write_model.values.invalid import Invalid

pytestmark = pytest.mark.unit

DAYS = st.dates(date(2000, 1, 1), date(2099, 12, 31))

BANK_HOLIDAYS_2026 = [
    "2026-01-01", "2026-02-16", "2026-02-17", "2026-04-03", "2026-04-21", "2026-05-01", "2026-06-04",
    "2026-09-07", "2026-10-12", "2026-11-02", "2026-11-15", "2026-11-20", "2026-12-25",
]  # fmt: skip


def test_the_weekdays_banks_rest_on_in_2026_are_exactly_these() -> None:
    """A whole year, day by day."""
    day, resting = date(2026, 1, 1), []
    while day.year == 2026:
        if day.weekday() < 5 and not is_business_day(day):
            resting.append(day.isoformat())
        day += timedelta(days=1)
    assert resting == [day for day in BANK_HOLIDAYS_2026 if date.fromisoformat(day).weekday() < 5]


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-18",  # Ash Wednesday: banks open at noon
        "2026-12-24", "2026-12-31", "2027-12-24", "2027-12-31", "2028-12-29",  # only the exchange rests
        "2023-11-20",  # a national holiday since 2024
    ],
)  # fmt: skip
def test_days_other_calendars_get_wrong_are_business_days(text: str) -> None:
    """The exchange's own days of rest are not the banks'."""
    assert is_business_day(date.fromisoformat(text))


@pytest.mark.parametrize("text", ["2024-11-20", "2025-11-20", "2029-11-20", "2028-02-28", "2028-06-15"])
def test_holidays_of_other_years_are_known(text: str) -> None:
    """20 November from 2024, and the movable ones."""
    assert not is_business_day(date.fromisoformat(text))


@given(DAYS)
def test_weekends_are_never_business_days(day: date) -> None:
    """In any year."""
    assert day.weekday() < 5 or not is_business_day(day)


@given(DAYS, st.frozensets(DAYS, max_size=5))
def test_the_next_business_day_is_the_first_on_or_after(day: date, company_holidays: frozenset[date]) -> None:
    """Nothing between is one, and asking again changes nothing."""
    found = next_business_day(day, company_holidays)
    assert is_business_day(found, company_holidays)
    assert found not in company_holidays
    assert next_business_day(found, company_holidays) == found
    between = [day + timedelta(days=n) for n in range((found - day).days)]
    assert not any(is_business_day(other, company_holidays) for other in between)


def test_a_company_adds_its_own_holidays() -> None:
    """São Paulo rests on 25 January; in 2027 that is a Monday."""
    anniversary = date(2027, 1, 25)
    assert is_business_day(anniversary)
    assert not is_business_day(anniversary, {anniversary})
    assert next_business_day(date(2027, 1, 23), {anniversary}) == date(2027, 1, 26)


def test_a_year_without_known_holidays_is_refused() -> None:
    """Better than treating Christmas 2101 as an ordinary day."""
    for day in (date(2101, 1, 1), date(2200, 12, 25), date(1899, 1, 1), date(9999, 12, 31)):
        with pytest.raises(Invalid) as caught:
            next_business_day(day)
        assert caught.value.code == "date-out-of-range"
    assert [holiday for holiday in (date(1900, 9, 7), date(2100, 9, 7)) if is_business_day(holiday)] == []


def test_a_timestamp_is_no_business_day() -> None:
    """It is a moment."""
    with pytest.raises(Invalid) as caught:
        is_business_day(datetime(2026, 11, 30, tzinfo=UTC))
    assert caught.value.code == "invalid-date"


def test_the_holiday_library_is_loaded_on_first_use_only() -> None:
    """Importing the values must stay quick for those who never ask for a holiday."""
    code = "import sys, write_model.values.late_charges; sys.exit('holidays' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
