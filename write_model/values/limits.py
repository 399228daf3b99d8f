"""Limits that commands put on their fields: how long a text may be, that an amount is positive.

The doors read the `Length` of a field and clean its text; decisions call `require_positive`, so that no
door can forget it.
"""

from dataclasses import dataclass
from typing import Annotated

from write_model.values.invalid import Invalid
from write_model.values.money import Money
from write_model.values.quantity import Quantity


@dataclass(frozen=True, slots=True)
class Length:
    """How many characters a text may have."""

    maximum: int
    minimum: int = 1


Code = Annotated[str, Length(60)]
"""A short name people type: a SKU, a unit, a reference."""

Name = Annotated[str, Length(160)]
"""The name of a person, a company, a product."""

Memo = Annotated[str, Length(500)]
"""A line of free text."""


def require_positive(amount: Money | Quantity, field: str = "amount") -> None:
    """Refuse zero and less with `amount-not-positive`; `field` says which one."""
    if not amount.is_positive:
        raise Invalid("amount-not-positive", "The value must be greater than zero.", {"field": field})


def require_not_negative(amount: Money, field: str = "amount") -> None:
    """Refuse less than zero with `amount-negative`; `field` says which one."""
    if amount.is_negative:
        raise Invalid("amount-negative", "The value cannot be negative.", {"field": field})
