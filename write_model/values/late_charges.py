"""Late charges (encargos): the fine and the interest a late payment owes.

The fine is charged once. Interest is simple, by the month, pro rata for each day from the day after the
due date. Terms, the way of rounding included, are agreed when the title is made and frozen into it: five
days of R$ 100.00 at one per cent are R$ 0.17 half-up and R$ 0.16 truncated, and both are in use.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal, get_args

from write_model.values.calendar import next_business_day
from write_model.values.dates import plain_date
from write_model.values.invalid import Invalid
from write_model.values.money import Money
from write_model.values.rounding import divide_half_up, exact_ratio

Rounding = Literal["half_up", "truncate"]

GRACE_DAYS_MAX: Final = 366

_PERCENT_MAX: Final = 100
# A ten-thousandth of a per cent is finer than any contract.
_PERCENT_STEPS: Final = 10**4


@dataclass(frozen=True, slots=True)
class LateTerms:
    """What was agreed for late payment; both rates are in per cent."""

    fine_pct: Decimal
    interest_pct_month: Decimal
    day_basis: int = 30
    grace_days: int = 0
    rounding: Rounding = "half_up"

    def __post_init__(self) -> None:
        _check_percent("fine_pct", self.fine_pct)
        _check_percent("interest_pct_month", self.interest_pct_month)
        _check_days("day_basis", self.day_basis, 28, 31)
        _check_days("grace_days", self.grace_days, 0, GRACE_DAYS_MAX)
        if self.rounding not in get_args(Rounding):
            raise _invalid("rounding")


@dataclass(frozen=True, slots=True)
class LateCharges:
    """What a late payment owes beside the principal, and for how many days."""

    fine: Money
    interest: Money
    days_late: int

    @property
    def total(self) -> Money:
        """Fine and interest together."""
        return self.fine + self.interest


def charges(
    open_principal: Money,
    due: date,
    paid_on: date,
    terms: LateTerms,
    company_holidays: Container[date] = frozenset(),
) -> LateCharges:
    """Compute what is owed for paying on that day.

    Nothing until the first business day on or after the due date (plus the days of grace, if any). After
    it, days count from the due date itself: the law spares the weekend only if the title is then paid
    (Lei 7.089/1983), and grace is a tolerance, not a later due date.
    """
    if open_principal.is_negative:
        raise Invalid("invalid-amount", "The open principal cannot be negative.")
    plain_date(paid_on)
    last_free_day = plain_date(due) + timedelta(days=terms.grace_days)
    # The calendar is asked only when it can make a difference.
    if paid_on <= last_free_day or paid_on <= next_business_day(last_free_day, company_holidays):
        nothing = Money.zero(open_principal.currency)
        return LateCharges(fine=nothing, interest=nothing, days_late=0)
    days_late = (paid_on - due).days
    return LateCharges(
        fine=_percent(open_principal, terms.fine_pct, 1, 1, terms.rounding),
        interest=_percent(
            open_principal, terms.interest_pct_month, days_late, terms.day_basis, terms.rounding
        ),
        days_late=days_late,
    )


def _percent(principal: Money, rate: Decimal, days: int, basis: int, rounding: Rounding) -> Money:
    """Take a rate for so many days of its basis, rounded once."""
    numerator, denominator = exact_ratio(rate)
    numerator *= principal.minor * days
    denominator *= 100 * basis
    minor = numerator // denominator if rounding == "truncate" else divide_half_up(numerator, denominator)
    return Money(minor, principal.currency)


def _check_percent(field: str, value: Decimal) -> None:
    numerator, denominator = exact_ratio(value, "invalid-late-terms")
    if not 0 <= numerator <= _PERCENT_MAX * denominator or numerator * _PERCENT_STEPS % denominator:
        raise _invalid(field)


def _check_days(field: str, value: int, lowest: int, highest: int) -> None:
    if type(value) is not int or not lowest <= value <= highest:
        raise _invalid(field)


def _invalid(field: str) -> Invalid:
    return Invalid("invalid-late-terms", "These terms for late payment are out of range.", {"field": field})
