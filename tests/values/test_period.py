"""Periods: months of the books in the order of time."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_model.values.invalid import Invalid
from write_model.values.period import Period

pytestmark = pytest.mark.unit

PERIODS = st.builds(Period, st.integers(1901, 2199), st.integers(1, 12))
DAYS = st.dates(date(1900, 1, 1), date(2200, 12, 31))


@given(PERIODS)
def test_a_period_reads_back_as_it_was_written(period: Period) -> None:
    """Year and month."""
    assert Period.parse(str(period)) == period


@given(PERIODS)
def test_the_next_and_the_previous_period_touch_this_one(period: Period) -> None:
    """No day between them, no day in both."""
    assert period.next().previous() == period.previous().next() == period
    assert period.next().first_day == period.last_day + timedelta(days=1)
    assert period.previous() < period < period.next()
    assert str(period.previous()) < str(period)


@given(DAYS, PERIODS)
def test_a_day_is_in_its_own_period_only(day: date, period: Period) -> None:
    """From the first day to the last."""
    assert Period.of(day).contains(day)
    assert period.contains(day) == (period.first_day <= day <= period.last_day) == (Period.of(day) == period)


@given(PERIODS, st.integers(-12, 12), st.integers(-12, 12))
def test_moving_twice_is_moving_by_the_sum(period: Period, first: int, second: int) -> None:
    """Unless the years run out on the way."""
    try:
        moved = period.plus(first).plus(second)
    except Invalid:
        return
    assert moved == period.plus(first + second)


@given(PERIODS, st.integers(1, 31))
def test_a_day_of_the_month_stays_in_the_month(period: Period, number: int) -> None:
    """The thirty-first of February is its last day."""
    assert period.contains(period.day(number))
    assert period.day(number).day == min(number, period.last_day.day)


def test_leap_years_have_their_day() -> None:
    """2000 was one, 1900 and 2100 are not."""
    assert [Period(year, 2).last_day.day for year in (1900, 2000, 2023, 2024, 2100)] == [28, 29, 28, 29, 28]


@pytest.mark.parametrize(
    "text",
    ["", "2026", "2026-13", "2026-00", "2026-1", "202611", "2026-11-01", " 2026-11", "2026-11\n", "1899-12",
     "2201-01", "٢٠٢٦-11", "2026/11", "11-2026"],
)  # fmt: skip
def test_what_is_not_plainly_a_period_is_refused(text: str) -> None:
    """One form only."""
    with pytest.raises(Invalid) as caught:
        Period.parse(text)
    assert caught.value.code == "invalid-period"


@pytest.mark.parametrize(
    ("year", "month"), [(2026, 0), (2026, 13), (1899, 1), (2201, 1), (2026.0, 1), (2026, True)]
)
def test_a_period_has_a_real_month(year: int, month: int) -> None:
    """And a year we keep books for."""
    with pytest.raises(Invalid) as caught:
        Period(year, month)
    assert caught.value.code == "invalid-period"


def test_the_years_end_somewhere() -> None:
    """At both ends."""
    for beyond in (Period(2200, 12).next, Period(1900, 1).previous, lambda: Period.parse(None)):  # type: ignore[arg-type]
        with pytest.raises(Invalid) as caught:
            beyond()
        assert caught.value.code == "invalid-period"


def test_a_timestamp_belongs_to_no_period() -> None:
    """Which one would depend on the time zone."""
    with pytest.raises(Invalid) as caught:
        Period.of(datetime(2026, 11, 30, 23, tzinfo=UTC))
    assert caught.value.code == "invalid-date"
