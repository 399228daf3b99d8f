"""When to try again."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.webhooks.retries import RETRY_AFTER_MAX, TRIES_MAX, next_try, retry_after

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
DAY = timedelta(hours=24)


@given(st.lists(st.floats(0, 1), min_size=TRIES_MAX, max_size=TRIES_MAX))
def test_there_are_eight_tries_ever_further_apart_within_a_day(luck: list[float]) -> None:
    moments, now, tries = [NOW], NOW, 1
    lucky = iter(luck)
    while (due := next_try(now, tries, asked=None, jitter=lambda: next(lucky))) is not None:
        moments.append(due)
        now, tries = due, tries + 1
    assert len(moments) == TRIES_MAX == 8
    waits = [after - before for before, after in pairwise(moments)]
    assert waits == sorted(waits)
    assert timedelta(hours=19) < moments[-1] - NOW <= DAY


def test_jitter_spreads() -> None:
    found = {next_try(NOW, 4, asked=None, jitter=lambda each=each: each / 10) for each in range(11)}  # type: ignore[misc]
    assert len(found) == 11


@given(st.integers(1, TRIES_MAX - 1), st.timedeltas(timedelta(0), timedelta(days=400)))
def test_who_asks_for_patience_gets_it_within_reason(tries: int, asked: timedelta) -> None:
    usual = next_try(NOW, tries, asked=None, jitter=lambda: 0.5)
    due = next_try(NOW, tries, asked=asked, jitter=lambda: 0.5)
    assert usual is not None
    assert due == max(usual, NOW + min(asked, RETRY_AFTER_MAX))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None), ("120", 120), ("0", 0), ("9" * 400, 999_999_999), ("-5", None), ("1.5", None),
        ("", None), ("٣", None), ("soon", None), ("Mon, 23 Nov 2026 15:01:00 GMT", 60),
        ("Mon, 23 Nov 2020 15:01:00 GMT", 0), ("Mon, 99 Nov 2026 15:01:00 GMT", None),
        ("Mon, 23 Nov 99999999999 15:01:00 GMT", None), ("Mon, 23 Nov 2026 15:01:00 -0000", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_or_nothing(text: str | None, seconds: int | None) -> None:
    assert retry_after(text, NOW) == (None if seconds is None else timedelta(seconds=seconds))


@given(st.text(max_size=40))
def test_whatever_else_it_says_does_no_harm(text: str) -> None:
    found = retry_after(text, NOW)
    assert found is None or found >= timedelta(0)
