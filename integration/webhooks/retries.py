"""When to try again: eight times within a day, ever more slowly, never all at the same moment."""

from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

WAITS_SECONDS: Final = (5, 60, 600, 3_600, 10_800, 25_200, 46_000)
"""Between one try and the next; together just under 24 hours."""

TRIES_MAX: Final = len(WAITS_SECONDS) + 1
RETRY_AFTER_MAX: Final = timedelta(hours=12)
"""Who asks us to come back later than this is tried after this."""

_LEAST_SHARE: Final = 0.8
_DIGITS_MAX: Final = 9


def next_try(
    now: datetime, tries: int, *, asked: timedelta | None, jitter: Callable[[], float]
) -> datetime | None:
    """When to try after `tries` that failed; None after the last one. `jitter` gives 0 to 1.

    Jitter only shortens, so that the last try is within the day.
    """
    if tries >= TRIES_MAX:
        return None
    share = _LEAST_SHARE + (1 - _LEAST_SHARE) * jitter()
    wait = timedelta(seconds=WAITS_SECONDS[tries - 1] * share)
    if asked is not None:
        wait = max(wait, min(asked, RETRY_AFTER_MAX))
    return now + wait


def retry_after(text: str | None, now: datetime) -> timedelta | None:
    """What the header `Retry-After` asks for: seconds or a date; None when it says nothing useful."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text[:_DIGITS_MAX]))
    try:
        moment = parsedate_to_datetime(text)
        return max(moment - now, timedelta(0)) if moment.tzinfo else None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
