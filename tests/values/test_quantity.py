"""Quantities and unit prices: declared scale, exact sums, one text for each value."""

import copy
import pickle
from collections.abc import Callable
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_model.values.invalid import Invalid
from write_model.values.quantity import Quantity, UnitPrice

pytestmark = pytest.mark.unit

HIGHEST_QUANTITY = 10**16 - 1
HIGHEST_UNIT_PRICE = 10**22 - 1
QUANTITIES = st.integers(-HIGHEST_QUANTITY // 8, HIGHEST_QUANTITY // 8).map(Quantity.of_scaled)
UNIT_PRICES = st.integers(0, HIGHEST_UNIT_PRICE).map(UnitPrice.of_scaled)

NO_NUMBERS = [
    "", ".", "1.", ".5", "+1", "1E+30", "1e2", "NaN", "Infinity", "1_000", " 12 ", "12 ", "12\n", "1,5",
    "--1", "-", "0x10", "٣", "１２", "1.٥", "1\x00", "1234567890123", "9" * 5000, "\u22121", "½", "1²",
]  # fmt: skip


@given(QUANTITIES)
def test_a_quantity_reads_back_as_it_was_written(quantity: Quantity) -> None:
    """And its decimal is the same number."""
    assert Quantity.parse(str(quantity)) == quantity
    assert Quantity(quantity.value) == quantity
    assert quantity.value == Decimal(quantity.scaled).scaleb(-4)


@given(UNIT_PRICES)
def test_a_unit_price_reads_back_as_it_was_written(unit_price: UnitPrice) -> None:
    """Also in a thread whose decimal context keeps two digits."""
    with localcontext(prec=2):
        assert UnitPrice.parse(str(unit_price)) == unit_price
        assert UnitPrice(unit_price.value) == unit_price


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1", "1"), ("1.0", "1"), ("1.5000", "1.5"), ("001.50", "1.5"), ("0", "0"), ("0.0001", "0.0001"),
        ("-2.50", "-2.5"), ("-0.0001", "-0.0001"), ("100", "100"), ("999999999999.9999", "999999999999.9999"),
    ],
)  # fmt: skip
def test_equal_quantities_have_equal_text(text: str, canonical: str) -> None:
    """Text is what is hashed and compared."""
    assert str(Quantity.parse(text)) == canonical
    assert repr(Quantity.parse(text)) == f"Quantity('{canonical}')"


@given(st.integers(0, 10**12 - 1), st.text("0123456789", max_size=4), st.integers(0, 4))
def test_zeros_at_the_end_change_nothing(whole: int, decimals: str, zeros: int) -> None:
    """Neither the value, nor its text, nor its hash."""
    plain = f"{whole}.{decimals}".rstrip(".")
    padded = f"{whole}.{(decimals + '0' * zeros)[:4]}".rstrip(".")
    one, other = Quantity.parse(plain), Quantity.parse(padded)
    assert one == other
    assert str(one) == str(other)
    assert hash(one) == hash(other)


@pytest.mark.parametrize("text", [*NO_NUMBERS, "0.00005", "1.00000", "-0", "-0.0000"])
def test_what_is_not_plainly_a_quantity_is_refused(text: str) -> None:
    """Not rounded, not cleaned, not guessed."""
    with pytest.raises(Invalid) as caught:
        Quantity.parse(text)
    assert caught.value.code == "invalid-quantity"


@pytest.mark.parametrize("text", [*NO_NUMBERS, "0.00000000001", "-1", "-0", "-0.5"])
def test_what_is_not_plainly_a_unit_price_is_refused(text: str) -> None:
    """And a price has no sign."""
    with pytest.raises(Invalid) as caught:
        UnitPrice.parse(text)
    assert caught.value.code == "invalid-unit-price"


@given(st.text(max_size=20))
def test_any_text_is_read_exactly_or_refused(text: str) -> None:
    """There is no third outcome."""
    try:
        quantity = Quantity.parse(text)
    except Invalid:
        return
    assert text.isascii()
    assert Decimal(text) == quantity.value


@pytest.mark.parametrize("given_value", [1, 1.5, None, True, Decimal(1), b"1"])
def test_a_quantity_is_parsed_from_text_only(given_value: object) -> None:
    """A JSON number has been a binary fraction somewhere on its way."""
    for kind in (Quantity, UnitPrice):
        with pytest.raises(Invalid):
            kind.parse(given_value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", [1.5, True, "1", None, Decimal("0.00001"), Decimal("NaN"), Decimal("Infinity"), Decimal("1E+99")]
)
def test_a_quantity_is_built_from_what_it_can_hold_exactly(value: object) -> None:
    """Rounding is never done on the way in."""
    with pytest.raises(Invalid) as caught:
        Quantity(value)  # type: ignore[arg-type]
    assert caught.value.code == "invalid-quantity"


@pytest.mark.parametrize("scaled", [1.0, True, "1", None])
def test_a_scaled_quantity_is_a_whole_number(scaled: object) -> None:
    """Of its smallest step."""
    with pytest.raises(Invalid):
        Quantity.of_scaled(scaled)  # type: ignore[arg-type]


def test_the_range_holds_at_its_edges_and_for_sums() -> None:
    """Twelve digits before the point."""
    highest, step = Quantity.of_scaled(HIGHEST_QUANTITY), Quantity.of_scaled(1)
    exceeding: list[Callable[[], Quantity]] = [
        lambda: highest + step,
        lambda: -highest - step,
        lambda: Quantity(10**12),
    ]
    for exceed in exceeding:
        with pytest.raises(Invalid) as caught:
            exceed()
        assert caught.value.code == "quantity-out-of-range"
    for beyond in (-1, HIGHEST_UNIT_PRICE + 1):
        with pytest.raises(Invalid) as caught:
            UnitPrice.of_scaled(beyond)
        assert caught.value.code == "unit-price-out-of-range"


@given(QUANTITIES, QUANTITIES, QUANTITIES)
def test_stock_arithmetic_obeys_its_laws(a: Quantity, b: Quantity, c: Quantity) -> None:
    """What goes in and out again leaves nothing."""
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + b - b == a
    assert (a - a).is_zero
    assert a - b == a + -b
    assert a + Quantity.zero() == a
    assert abs(a) == (-a if a.is_negative else a)
    assert (a + b).value == Decimal(a.scaled + b.scaled).scaleb(-4)


@given(QUANTITIES, QUANTITIES)
def test_comparison_is_that_of_the_numbers(a: Quantity, b: Quantity) -> None:
    """In every direction."""
    assert (a < b, a <= b, a > b, a >= b, a == b) == (
        a.value < b.value,
        a.value <= b.value,
        a.value > b.value,
        a.value >= b.value,
        a.value == b.value,
    )
    assert (a.is_positive, a.is_zero, a.is_negative) == (a.value > 0, a.value == 0, a.value < 0)
    assert bool(a) == (not a.is_zero)
    assert a != b or hash(a) == hash(b)


def test_quantities_combine_with_their_own_kind_only() -> None:
    """A quantity is no price and no number."""
    quantity, unit_price = Quantity(1), UnitPrice(1)
    assert quantity != unit_price
    assert quantity != 1
    for mix in (
        lambda: quantity + unit_price,  # type: ignore[operator]
        lambda: quantity - 1,  # type: ignore[operator]
        lambda: quantity < unit_price,  # type: ignore[operator]
        lambda: quantity <= 1,  # type: ignore[operator]
        lambda: quantity > 1,  # type: ignore[operator]
        lambda: unit_price >= quantity,  # type: ignore[operator]
    ):
        with pytest.raises(TypeError):
            mix()


@pytest.mark.parametrize("value", [Quantity.parse("-1.5"), UnitPrice.parse("0.0000000001")])
def test_a_quantity_cannot_be_changed_but_copied(value: Quantity | UnitPrice) -> None:
    """Copies and travellers between processes are equal to the original."""
    with pytest.raises(AttributeError):
        value._scaled = 2
    with pytest.raises(AttributeError):
        del value._scaled
    with pytest.raises(AttributeError):
        value.note = "x"
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own bytes
