"""Instalment plans: when each part of a total is due."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final, NamedTuple, TypeAlias

from write_model.values.dates import plain_date
from write_model.values.invalid import Invalid
from write_model.values.money import Money
from write_model.values.period import Period

PARTS_MAX: Final = 360
"""Thirty years of months."""

INTERVAL_DAYS_MAX: Final = 366


class PlannedInstalment(NamedTuple):
    """One part of a plan: a due date and its amount."""

    due_date: date
    amount: Money


InstalmentPlan: TypeAlias = tuple[PlannedInstalment, ...]


def equal_plan(total: Money, parts: int, first_due: date, interval_days: int | None = None) -> InstalmentPlan:
    """Plan equal parts, the centavos left over in the last one.

    Without an interval they fall due monthly on the same day, or on the last day of a shorter month: the
    day is always taken from the first due date, so 31 January, 28 February, 31 March. With one, every so
    many days. Due dates are not moved to business days: what is due on a Sunday is payable on Monday.
    """
    if type(parts) is not int or not 1 <= parts <= PARTS_MAX:
        raise Invalid(
            "invalid-instalments",
            f"A plan has 1 to {PARTS_MAX} instalments.",
            {"instalments_max": str(PARTS_MAX)},
        )
    if interval_days is not None and (
        type(interval_days) is not int or not 1 <= interval_days <= INTERVAL_DAYS_MAX
    ):
        raise Invalid(
            "invalid-instalments",
            f"The interval between instalments is 1 to {INTERVAL_DAYS_MAX} days.",
            {"interval_days_max": str(INTERVAL_DAYS_MAX)},
        )
    if total.minor < parts:
        raise Invalid("instalment-too-small", "Every instalment must be at least one centavo.")
    plain_date(first_due)
    amounts = total.split_equally(parts)
    return tuple(
        PlannedInstalment(_due_date(first_due, index, interval_days), amount)
        for index, amount in enumerate(amounts)
    )


def _due_date(first_due: date, index: int, interval_days: int | None) -> date:
    if interval_days is None:
        return Period.of(first_due).plus(index).day(first_due.day)
    return plain_date(first_due + timedelta(days=index * interval_days))
