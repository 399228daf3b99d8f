"""One rounding rule: half-up, on exact numbers, whatever the thread's decimal context says."""

from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_model.values.invalid import Invalid
from write_model.values.rounding import divide_half_up, exact_ratio, round_half_up

pytestmark = pytest.mark.unit

WHOLE = st.integers(-(10**30), 10**30)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)


@pytest.mark.parametrize(
    ("text", "rounded"),
    [
        ("0.4", 0), ("0.5", 1), ("1.5", 2), ("2.5", 3), ("-0.5", -1), ("-2.5", -3), ("-0.4", 0),
        ("0.49999999999999999999999999999999999", 0), ("7", 7),
    ],
)  # fmt: skip
def test_a_half_goes_away_from_zero(text: str, rounded: int) -> None:
    """Bankers' rounding would give 2 for 2.5."""
    assert round_half_up(Decimal(text)) == rounded


@given(DECIMALS)
def test_it_agrees_with_the_standard_library(value: Decimal) -> None:
    """The library's own half-up, on numbers its context can hold."""
    assert round_half_up(value) == int(value.to_integral_value(rounding=ROUND_HALF_UP))


@given(WHOLE, WHOLE.filter(bool))
def test_the_error_is_never_more_than_a_half(numerator: int, denominator: int) -> None:
    """And a tie goes to the larger magnitude."""
    rounded = divide_half_up(numerator, denominator)
    exact = Fraction(numerator, denominator)
    assert abs(rounded - exact) <= Fraction(1, 2)
    if abs(rounded - exact) == Fraction(1, 2):
        assert abs(rounded) > abs(exact)


@given(WHOLE, WHOLE.filter(bool))
def test_reversing_gives_the_exact_opposite(numerator: int, denominator: int) -> None:
    """A reversal must cancel what it reverses to the centavo."""
    assert divide_half_up(-numerator, denominator) == -divide_half_up(numerator, denominator)


@given(DECIMALS)
def test_a_ratio_is_exact_in_any_context(value: Decimal) -> None:
    """A thread with two digits of precision must not change an amount."""
    with localcontext(prec=2):
        numerator, denominator = exact_ratio(value)
    assert denominator > 0
    assert Fraction(numerator, denominator) == Fraction(value)


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+41", "1E+999999", "1E-999999"])
def test_what_is_no_usable_number_is_refused(text: str) -> None:
    """Quickly, too: the last ones would need a million digits."""
    with pytest.raises(Invalid) as caught:
        round_half_up(Decimal(text))
    assert caught.value.code == "invalid-amount"


@pytest.mark.parametrize("value", [1.5, 1, "1", None, True])
def test_only_decimals_are_rounded(value: object) -> None:
    """A binary fraction is already wrong before it is rounded."""
    with pytest.raises(Invalid):
        round_half_up(value)  # type: ignore[arg-type]
