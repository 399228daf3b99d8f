"""Moments as people write them: `10m` ago, a day, an instant."""

import re
from datetime import UTC, datetime, timedelta

from runtime.cli.outcome import usage

_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """`30s`, `10m`, `2h`, `7d`."""
    found = _AGO.fullmatch(text)
    if found is None:
        raise usage(f"{text!r} is not a duration", "write 30s, 10m, 2h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def beginning(text: str, now: datetime) -> datetime:
    """The same for where something begins: a day is there from its first instant on."""
    found = moment(text, now)
    return found - timedelta(days=1) if len(text) == len("2026-11-23") and not _AGO.fullmatch(text) else found


def moment(text: str, now: datetime) -> datetime:
    """An instant: a duration before now, a day (all of it, in UTC), or a moment with its zone."""
    if _AGO.fullmatch(text):
        return now - duration(text)
    try:
        if len(text) == len("2026-11-23"):
            return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
        found = datetime.fromisoformat(text)
    except ValueError:
        raise usage(f"{text!r} is not a moment", "write 10m, 2026-11-23 or 2026-11-23T10:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
