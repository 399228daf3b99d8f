"""Instalment plans: equal parts on the days people expect."""

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_model.values.instalments import PARTS_MAX, equal_plan
from write_model.values.invalid import Invalid
from write_model.values.money import Money

pytestmark = pytest.mark.unit

TOTALS = st.integers(PARTS_MAX, 10**12).map(Money)
PARTS = st.integers(1, PARTS_MAX)
DAYS = st.dates(date(2000, 1, 1), date(2100, 12, 31))


def test_three_months_of_one_hundred() -> None:
    """The centavo left over is in the last one."""
    plan = equal_plan(Money(10000), 3, date(2026, 11, 30))
    assert [(part.due_date.isoformat(), part.amount.amount) for part in plan] == [
        ("2026-11-30", "33.33"),
        ("2026-12-30", "33.33"),
        ("2027-01-30", "33.34"),
    ]


def test_the_thirty_first_comes_back_after_a_short_month() -> None:
    """The day is that of the first due date, never that of the month before."""
    plan = equal_plan(Money(10000), 5, date(2027, 12, 31))
    assert [due.isoformat() for due, _ in plan] == [
        "2027-12-31",
        "2028-01-31",
        "2028-02-29",
        "2028-03-31",
        "2028-04-30",
    ]


def test_an_interval_counts_days() -> None:
    """Thirty days are not a month."""
    plan = equal_plan(Money(9000), 3, date(2026, 1, 31), interval_days=30)
    assert [due.isoformat() for due, _ in plan] == ["2026-01-31", "2026-03-02", "2026-04-01"]


@given(TOTALS, PARTS, DAYS, st.none() | st.integers(1, 90))
def test_a_plan_makes_the_whole_again(total: Money, parts: int, first: date, interval: int | None) -> None:
    """In so many parts, almost equal, each on a later day."""
    plan = equal_plan(total, parts, first, interval)
    amounts = [part.amount for part in plan]
    dues = [part.due_date for part in plan]
    assert len(plan) == parts
    assert Money.total(amounts) == total
    assert max(amounts).minor - min(amounts).minor <= total.minor % parts
    assert all(amount.is_positive for amount in amounts)
    assert dues[0] == first
    assert dues == sorted(set(dues))
    if interval is not None:
        assert all((later - earlier).days == interval for earlier, later in pairwise(dues))
    else:
        assert all(due.day <= first.day for due in dues)


@pytest.mark.parametrize("parts", [0, -1, PARTS_MAX + 1, 10**20, True, 2.0, "2", None])
def test_a_plan_has_a_sensible_number_of_parts(parts: object) -> None:
    """One to three hundred and sixty."""
    with pytest.raises(Invalid) as caught:
        equal_plan(Money(100000), parts, date(2026, 11, 30))  # type: ignore[arg-type]
    assert caught.value.code == "invalid-instalments"


@pytest.mark.parametrize("interval_days", [0, -30, 367, True, 30.0, "30"])
def test_an_interval_is_a_sensible_number_of_days(interval_days: object) -> None:
    """One to a year's."""
    with pytest.raises(Invalid) as caught:
        equal_plan(Money(100000), 2, date(2026, 11, 30), interval_days)  # type: ignore[arg-type]
    assert caught.value.code == "invalid-instalments"


@pytest.mark.parametrize(("minor", "parts"), [(0, 1), (-100, 1), (2, 3), (359, 360)])
def test_no_instalment_is_empty_or_negative(minor: int, parts: int) -> None:
    """Nobody collects nothing."""
    with pytest.raises(Invalid) as caught:
        equal_plan(Money(minor), parts, date(2026, 11, 30))
    assert caught.value.code == "instalment-too-small"


def test_a_plan_ends_within_the_years_we_know() -> None:
    """Monthly or by days."""
    for interval_days in (None, 30):
        with pytest.raises(Invalid) as caught:
            equal_plan(Money(100000), 360, date(2199, 1, 31), interval_days)
        assert caught.value.code in {"invalid-period", "date-out-of-range"}


def test_a_timestamp_is_no_due_date() -> None:
    """A due date is a day."""
    for interval_days in (None, 30):
        with pytest.raises(Invalid) as caught:
            equal_plan(Money(100), 1, datetime(2026, 11, 30, tzinfo=UTC), interval_days)
        assert caught.value.code == "invalid-date"
