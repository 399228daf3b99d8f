"""Quantities of goods (four decimals) and prices of one unit (ten decimals), as fiscal documents have them.

Both are whole numbers of their smallest step inside, so sums are exact whatever the decimal context says,
and equal values always have equal text. They are plain classes, not dataclasses: in events and answers
they are one string, never an object.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import ClassVar, Final, NoReturn, Self, final

from write_model.values.invalid import Invalid
from write_model.values.rounding import exact_ratio

WHOLE_DIGITS_MAX: Final = 12


class _FixedPoint:
    """A decimal number with a declared scale, held as a whole number of its smallest step."""

    __slots__ = ("_scaled",)

    SCALE: ClassVar[int]
    _LOWEST: ClassVar[int]
    _HIGHEST: ClassVar[int]
    _PATTERN: ClassVar[re.Pattern[str]]
    _NOUN: ClassVar[str]
    _INVALID: ClassVar[str]
    _OUT_OF_RANGE: ClassVar[str]

    _scaled: int

    def __init__(self, value: Decimal | int) -> None:
        """Take a number that the scale can hold exactly; nothing is ever rounded here."""
        if type(value) is int:
            scaled, rest = value * 10**self.SCALE, 0
        elif isinstance(value, Decimal):
            numerator, denominator = exact_ratio(value, self._INVALID)
            scaled, rest = divmod(numerator * 10**self.SCALE, denominator)
        else:
            raise self._invalid()
        if rest:
            raise self._invalid()
        self._hold(scaled)

    @classmethod
    def of_scaled(cls, scaled: int) -> Self:
        """Build from a whole number of the smallest step (the inverse of ``scaled``)."""
        if type(scaled) is not int:
            raise cls._invalid()
        value = cls.__new__(cls)
        value._hold(scaled)
        return value

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read plain ASCII decimal text: no exponent, no separators, no spaces, no negative zero."""
        if not isinstance(text, str):
            raise cls._invalid()
        found = cls._PATTERN.fullmatch(text)
        if found is None:
            raise cls._invalid()
        sign, whole, decimals = found.groups()
        scaled = int(whole + (decimals or "").ljust(cls.SCALE, "0"))
        if sign and not scaled:
            raise cls._invalid()
        return cls.of_scaled(-scaled if sign else scaled)

    @classmethod
    def zero(cls) -> Self:
        """Return nothing of it."""
        return cls.of_scaled(0)

    @classmethod
    def _invalid(cls) -> Invalid:
        return Invalid(
            cls._INVALID,
            f"A {cls._NOUN} is plain decimal text with at most {cls.SCALE} decimals.",
            {"decimals_max": str(cls.SCALE)},
        )

    def _hold(self, scaled: int) -> None:
        if not self._LOWEST <= scaled <= self._HIGHEST:
            raise Invalid(self._OUT_OF_RANGE, f"The {self._NOUN} is outside the allowed range.")
        object.__setattr__(self, "_scaled", scaled)

    @property
    def scaled(self) -> int:
        """The value as a whole number of its smallest step."""
        return self._scaled

    @property
    def value(self) -> Decimal:
        """The value as a decimal, exact."""
        return Decimal(str(self))

    @property
    def is_zero(self) -> bool:
        """Whether this is nothing at all."""
        return self._scaled == 0

    @property
    def is_positive(self) -> bool:
        """Whether this is more than zero."""
        return self._scaled > 0

    def __str__(self) -> str:
        """Write the one canonical text: plain, without superfluous zeros."""
        whole, decimals = divmod(abs(self._scaled), 10**self.SCALE)
        sign = "-" if self._scaled < 0 else ""
        if not decimals:
            return f"{sign}{whole}"
        return f"{sign}{whole}.{decimals:0{self.SCALE}d}".rstrip("0")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __bool__(self) -> bool:
        return self._scaled != 0

    def __hash__(self) -> int:
        return hash((type(self), self._scaled))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._scaled == other._scaled

    def __lt__(self, other: Self) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._scaled < other._scaled

    def __le__(self, other: Self) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._scaled <= other._scaled

    def __gt__(self, other: Self) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._scaled > other._scaled

    def __ge__(self, other: Self) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._scaled >= other._scaled

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __reduce__(self) -> tuple[Callable[[int], Self], tuple[int]]:
        # Copying and pickling restore slots by assignment, which an immutable value forbids.
        return type(self).of_scaled, (self._scaled,)


@final
class Quantity(_FixedPoint):
    """How much of something, with four decimals; negative for what went out or came back."""

    __slots__ = ()

    SCALE = 4
    _LOWEST = -(10 ** (WHOLE_DIGITS_MAX + SCALE)) + 1
    _HIGHEST = 10 ** (WHOLE_DIGITS_MAX + SCALE) - 1
    _PATTERN = re.compile(r"(-)?([0-9]{1,12})(?:\.([0-9]{1,4}))?")
    _NOUN = "quantity"
    _INVALID = "invalid-quantity"
    _OUT_OF_RANGE = "quantity-out-of-range"

    @property
    def is_negative(self) -> bool:
        """Whether this is less than zero."""
        return self._scaled < 0

    def __add__(self, other: Quantity) -> Quantity:
        if not isinstance(other, Quantity):
            return NotImplemented
        return Quantity.of_scaled(self._scaled + other._scaled)

    def __sub__(self, other: Quantity) -> Quantity:
        if not isinstance(other, Quantity):
            return NotImplemented
        return Quantity.of_scaled(self._scaled - other._scaled)

    def __neg__(self) -> Quantity:
        return Quantity.of_scaled(-self._scaled)

    def __abs__(self) -> Quantity:
        return Quantity.of_scaled(abs(self._scaled))


@final
class UnitPrice(_FixedPoint):
    """The price or cost of one unit, with ten decimals, never negative."""

    __slots__ = ()

    SCALE = 10
    _LOWEST = 0
    _HIGHEST = 10 ** (WHOLE_DIGITS_MAX + SCALE) - 1
    # The empty group stands where a quantity has its sign: a price has none.
    _PATTERN = re.compile(r"()([0-9]{1,12})(?:\.([0-9]{1,10}))?")
    _NOUN = "unit price"
    _INVALID = "invalid-unit-price"
    _OUT_OF_RANGE = "unit-price-out-of-range"
