"""Plain dates: read in one form, never a timestamp."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_model.values.dates import parse_date, plain_date
from write_model.values.invalid import Invalid

pytestmark = pytest.mark.unit

DAYS = st.dates(date(1900, 1, 1), date(2200, 12, 31))


@given(DAYS)
def test_a_date_reads_back_as_it_was_written(day: date) -> None:
    """ISO 8601, the calendar form."""
    assert parse_date(day.isoformat()) == day
    assert plain_date(day) is day


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-02-30", "2026-13-01", "2026-00-10", "2026-11-00", "10000-01-01", "20261130", "2026-W48-1",
        "2026-334", "2026-11-30T00:00:00", "2026-11-30T00:00:00Z", "2026-11-30 ", " 2026-11-30",
        "2026-11-30\n", "26-11-30", "2026-1-1", "30/11/2026", "1764460800",
        "+2026-11-30", "-2026-11-30", "٢٠٢٦-11-30",
        "２０２６-11-30", "2026-11-3０", "0000-01-01", "2025-02-29",
    ],
)  # fmt: skip
def test_what_is_not_plainly_a_date_is_refused(text: str) -> None:
    """Also the other forms the standard library would read."""
    with pytest.raises(Invalid) as caught:
        parse_date(text)
    assert caught.value.code == "invalid-date"


@pytest.mark.parametrize("given_value", [1764460800, 20261130, None, date(2026, 11, 30), b"2026-11-30"])
def test_a_date_is_parsed_from_text_only(given_value: object) -> None:
    """Epoch numbers are moments, not days."""
    with pytest.raises(Invalid) as caught:
        parse_date(given_value)  # type: ignore[arg-type]
    assert caught.value.code == "invalid-date"


@pytest.mark.parametrize("text", ["1899-12-31", "2201-01-01", "9999-12-31", "0001-01-01"])
def test_dates_are_between_1900_and_2200(text: str) -> None:
    """A typing mistake in the year would open a period nobody finds."""
    with pytest.raises(Invalid) as caught:
        parse_date(text)
    assert caught.value.code == "date-out-of-range"


def test_a_timestamp_is_no_date() -> None:
    """Cutting its time off is how days get lost."""
    for moment in (datetime(2026, 11, 30, 23, tzinfo=UTC), datetime(2026, 11, 30)):  # noqa: DTZ001 - the point
        with pytest.raises(Invalid) as caught:
            plain_date(moment)
        assert caught.value.code == "invalid-date"
