"""What stands in one cell: an id, an amount, a moment, a count. Strict: a guess would be somebody's money."""

import re
from datetime import date, datetime
from functools import lru_cache
from sys import intern
from typing import get_args

from write_model.values.invalid import Invalid
from write_model.values.limits import Code, Name
from write_model.values.text import clean_text

CENTAVOS_MAX = 10**11
"""A thousand million: more than this in one cell is a mistake."""

_CODE_LENGTH: int = get_args(Code)[1].maximum
_NAME_LENGTH: int = get_args(Name)[1].maximum

_AMOUNT = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,20}))?")
_COUNT = re.compile(r"([0-9]{1,9})(?:\.0{1,6})?")
_TIME = r"(?:[ T]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]{1,9})?)?)?"
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})" + _TIME)
_MONTH_FIRST = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})" + _TIME)


class BadCell(ValueError):
    """A cell does not hold what its column is for; says what is wrong without a guess."""


def identifier(column: str, text: str) -> str:
    """An id that something can be called by."""
    if not text:
        raise BadCell(f"{column} is empty")
    try:
        return intern(clean_text(text, max_length=_CODE_LENGTH))
    except Invalid as why:
        raise BadCell(f"{column} is not usable: {why.code}") from None


def name(column: str, text: str) -> str | None:
    """A name, or nothing."""
    if not text:
        return None
    try:
        return intern(clean_text(text, max_length=_NAME_LENGTH))
    except Invalid as why:
        raise BadCell(f"{column} is not usable: {why.code}") from None


def code(column: str, text: str) -> str | None:
    """A short name, or nothing."""
    return identifier(column, text) if text else None


def centavos(column: str, text: str) -> int:
    """An amount that is not negative: `109.9`, `99`, `25.510`; no centavo is rounded away."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise BadCell(f"{column} is not an amount: {shown(text)}")
    sign, whole, decimals = found.groups()
    cents = (decimals or "").rstrip("0")
    if len(cents) > 2:
        raise BadCell(f"{column} has more than two decimals: {text}")
    amount = int(whole) * 100 + int(cents.ljust(2, "0"))
    if sign and amount:
        raise BadCell(f"{column} is negative: {text}")
    if amount > CENTAVOS_MAX:
        raise BadCell(f"{column} is too large: {text}")
    return amount


def count(column: str, text: str) -> int:
    """A whole number that is not negative; spreadsheets may have made `3.0` of it."""
    found = _COUNT.fullmatch(text)
    if found is None:
        kind = "is negative" if re.fullmatch(r"-[0-9.]+", text) else "is not a whole number"
        raise BadCell(f"{column} {kind}: {shown(text)}")
    return int(found[1])


def day(column: str, text: str) -> date | None:
    """The date of a moment, `2017-10-02 10:56:33` or `10/2/2017 10:56`, just as it is written; or nothing."""
    if not text:
        return None
    if found := _ISO.fullmatch(text):
        year, month, number = found[1], found[2], found[3]
    elif found := _MONTH_FIRST.fullmatch(text):
        month, number, year = found[1], found[2], found[3]
    else:
        raise BadCell(f"{column} is not a date: {shown(text)}")
    try:
        if found[4]:
            datetime(2000, 1, 1, int(found[4]), int(found[5]), int(found[6] or 0))  # noqa: DTZ001 - a check
        return _date(int(year), int(month), int(number))
    except ValueError:
        raise BadCell(f"{column} is not a date: {shown(text)}") from None


@lru_cache(maxsize=20_000)
def _date(year: int, month: int, number: int) -> date:
    # One object per day: a hundred thousand orders fall on few days.
    if not 1900 <= year <= 2200:
        raise ValueError
    return date(year, month, number)


def shown(text: str) -> str:
    """What stood there, short and printable; these columns hold no personal data."""
    return ascii(text[:40]) if text else "nothing"
