"""The one rounding rule of the house: half-up, computed on whole numbers, exact before it rounds.

Everything goes through ratios of integers because ``Decimal`` arithmetic silently rounds to the precision
of the calling thread's context: a unit price times a quantity can need 38 digits and would be rounded
twice.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from write_model.values.invalid import Invalid

# Beyond these no amount, price or rate has a meaning, and a number such as 1E+999999 would eat the memory.
_MAGNITUDE_MAX: Final = 40
_DIGITS_MAX: Final = 100


def exact_ratio(value: Decimal, code: str = "invalid-amount") -> tuple[int, int]:
    """Return the numerator and the positive denominator of a decimal, without any loss."""
    if not isinstance(value, Decimal):
        raise Invalid(code, "A decimal number is required.")
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):  # a letter stands there for infinity and not-a-number
        raise Invalid(code, "A finite number is required.")
    if value.adjusted() > _MAGNITUDE_MAX or exponent < -_DIGITS_MAX:
        raise Invalid(code, "The number is too large or has too many decimals.")
    return value.as_integer_ratio()


def divide_half_up(numerator: int, denominator: int) -> int:
    """Divide, rounding to the nearest whole number; a half goes away from zero.

    Away from zero, not towards plus infinity: reversing a rounded amount must give exactly its opposite.
    """
    negative = (numerator < 0) != (denominator < 0)
    quotient, remainder = divmod(abs(numerator), abs(denominator))
    if 2 * remainder >= abs(denominator):
        quotient += 1
    return -quotient if negative else quotient


def round_half_up(value: Decimal) -> int:
    """Round a decimal to a whole number by the rule of the house."""
    return divide_half_up(*exact_ratio(value))
