"""Money: whole centavos with their currency.

There is no division, because money does not divide: it is split into parts, allocated by weights or shared
by proportion, and the parts always make the whole again. Every rounding is the one of ``rounding``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import lcm
from typing import Final

from write_model.values.invalid import Invalid
from write_model.values.quantity import Quantity, UnitPrice
from write_model.values.rounding import divide_half_up, exact_ratio, round_half_up

__all__ = ["MINOR_MAX", "PARTS_MAX", "Money", "round_half_up"]

MINOR_MAX: Final = 10**15
"""The cap, either side of zero: far above any company here, far below where storage would overflow."""

PARTS_MAX: Final = 10_000
"""More parts than this are a mistake or an attack."""

_MINOR_PER_UNIT: Final = 100
_AMOUNT: Final = re.compile(r"(-)?([0-9]{1,15})\.([0-9]{2})")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (centavos); amounts of two currencies never mix."""

    minor: int
    currency: str = "BRL"

    def __post_init__(self) -> None:
        # The exact type: True is an int, and a float that happens to be whole is still a float.
        if type(self.minor) is not int:
            raise Invalid("invalid-amount", "Money is a whole number of minor units.")
        if not -MINOR_MAX <= self.minor <= MINOR_MAX:
            raise Invalid("amount-out-of-range", "The amount is outside the allowed range.")
        if self.currency != "BRL":
            _check_currency(self.currency)

    @classmethod
    def parse(cls, text: str, currency: str = "BRL") -> Money:
        """Read ``1234.50``: ASCII digits, a point, exactly two decimals, at most a minus sign before."""
        if not isinstance(text, str):
            raise _invalid_amount()
        found = _AMOUNT.fullmatch(text)
        if found is None:
            raise _invalid_amount()
        sign, whole, decimals = found.groups()
        minor = int(whole + decimals)
        if sign and not minor:
            raise _invalid_amount()
        return cls(-minor if sign else minor, currency)

    @classmethod
    def zero(cls, currency: str = "BRL") -> Money:
        """Return no money at all."""
        return cls(0, currency)

    @classmethod
    def total(cls, amounts: Iterable[Money], currency: str = "BRL") -> Money:
        """Add up any number of amounts; of none, zero in the given currency."""
        total = cls(0, currency)
        for amount in amounts:
            total += amount
        return total

    @classmethod
    def of_product(cls, unit_price: UnitPrice, quantity: Quantity, currency: str = "BRL") -> Money:
        """Price a line: the exact product, rounded to the centavo once."""
        steps_per_minor = 10 ** (UnitPrice.SCALE + Quantity.SCALE) // _MINOR_PER_UNIT
        return cls(divide_half_up(unit_price.scaled * quantity.scaled, steps_per_minor), currency)

    @property
    def amount(self) -> str:
        """The amount as it is written on the wire, such as ``1234.50``."""
        whole, decimals = divmod(abs(self.minor), _MINOR_PER_UNIT)
        return f"{'-' if self.minor < 0 else ''}{whole}.{decimals:02d}"

    @property
    def is_zero(self) -> bool:
        """Whether there is no money here."""
        return self.minor == 0

    @property
    def is_positive(self) -> bool:
        """Whether this is more than zero."""
        return self.minor > 0

    @property
    def is_negative(self) -> bool:
        """Whether this is less than zero."""
        return self.minor < 0

    def percentage(self, rate: Decimal) -> Money:
        """Take ``rate`` per cent of this (2 means 2 %), rounded to the centavo once."""
        numerator, denominator = exact_ratio(rate, "invalid-percentage")
        return Money(divide_half_up(self.minor * numerator, denominator * 100), self.currency)

    def share(self, part: Quantity, whole: Quantity) -> Money:
        """Take the share of this that ``part`` is of ``whole``; all of it when they are equal."""
        if whole.is_zero:
            raise Invalid("invalid-quantity", "A share of nothing cannot be taken.")
        return Money(divide_half_up(self.minor * part.scaled, whole.scaled), self.currency)

    def per_unit(self, quantity: Quantity) -> UnitPrice:
        """Return the price of one unit when ``quantity`` units cost this, to ten decimals."""
        if quantity.is_zero:
            raise Invalid("invalid-quantity", "Nothing has no price per unit.")
        steps_per_minor = 10 ** (UnitPrice.SCALE + Quantity.SCALE) // _MINOR_PER_UNIT
        return UnitPrice.of_scaled(divide_half_up(self.minor * steps_per_minor, quantity.scaled))

    def split_equally(self, parts: int) -> tuple[Money, ...]:
        """Split into equal parts; the centavos left over are in the last one.

        A negative amount is split like the positive one, so a reversal mirrors what it reverses.
        """
        if type(parts) is not int or not 1 <= parts <= PARTS_MAX:
            raise Invalid(
                "invalid-parts", "The number of parts is out of range.", {"parts_max": str(PARTS_MAX)}
            )
        share, left_over = divmod(abs(self.minor), parts)
        sign = -1 if self.minor < 0 else 1
        each = Money(sign * share, self.currency)
        return (*[each] * (parts - 1), Money(sign * (share + left_over), self.currency))

    def allocate(self, weights: Sequence[int | Decimal]) -> tuple[Money, ...]:
        """Allocate by weights so that the parts sum exactly to this.

        Each part is within one centavo of its exact share: the centavos left over go to the largest
        fractions, the earlier first. A weight of zero always gets nothing.
        """
        whole_weights = _whole_weights(weights)
        total_weight = sum(whole_weights)
        shares: list[int] = []
        fractions: list[int] = []
        for weight in whole_weights:
            share, fraction = divmod(abs(self.minor) * weight, total_weight)
            shares.append(share)
            fractions.append(fraction)
        left_over = abs(self.minor) - sum(shares)
        # sorted() is stable, so equal fractions keep their order.
        for index in sorted(range(len(shares)), key=lambda at: -fractions[at])[:left_over]:
            shares[index] += 1
        sign = -1 if self.minor < 0 else 1
        return tuple(Money(sign * share, self.currency) for share in shares)

    def _same_currency(self, other: Money) -> None:
        if self.currency != other.currency:
            raise Invalid("currency-mismatch", "Amounts of two currencies cannot be combined or compared.")

    def __add__(self, other: Money) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        self._same_currency(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        self._same_currency(other)
        return Money(self.minor - other.minor, self.currency)

    def __mul__(self, times: int) -> Money:
        if type(times) is not int:
            return NotImplemented
        return Money(self.minor * times, self.currency)

    __rmul__ = __mul__

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __abs__(self) -> Money:
        return Money(abs(self.minor), self.currency)

    def __bool__(self) -> bool:
        return self.minor != 0

    def __lt__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        self._same_currency(other)
        return self.minor < other.minor

    def __le__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        self._same_currency(other)
        return self.minor <= other.minor

    def __gt__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        self._same_currency(other)
        return self.minor > other.minor

    def __ge__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        self._same_currency(other)
        return self.minor >= other.minor

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


def _check_currency(currency: str) -> None:
    invalid = Invalid("invalid-currency", "A currency is three upper-case ASCII letters.")
    if not isinstance(currency, str):
        raise invalid
    if not _CURRENCY.fullmatch(currency):
        raise invalid


def _invalid_amount() -> Invalid:
    return Invalid("invalid-amount", "An amount is plain decimal text with exactly two decimals.")


def _whole_weights(weights: Sequence[int | Decimal]) -> list[int]:
    """Bring weights to whole numbers in the same proportions."""
    if not 1 <= len(weights) <= PARTS_MAX:
        raise Invalid(
            "invalid-weights", "The number of weights is out of range.", {"parts_max": str(PARTS_MAX)}
        )
    ratios: list[tuple[int, int]] = []
    for weight in weights:
        if type(weight) is int:
            ratios.append((weight, 1))
        elif isinstance(weight, Decimal):
            ratios.append(exact_ratio(weight, "invalid-weights"))
        else:
            raise Invalid("invalid-weights", "A weight is a whole or a decimal number.")
    if any(numerator < 0 for numerator, _ in ratios) or not any(numerator for numerator, _ in ratios):
        raise Invalid("invalid-weights", "Weights are zero or more, and not all zero.")
    denominator = lcm(*(below for _, below in ratios))
    return [numerator * (denominator // below) for numerator, below in ratios]
