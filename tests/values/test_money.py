"""Money: whole centavos, read strictly, added exactly, split without losing any."""

import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_model.values.invalid import Invalid
from write_model.values.money import MINOR_MAX, PARTS_MAX, Money, round_half_up
from write_model.values.quantity import Quantity, UnitPrice

pytestmark = pytest.mark.unit

AMOUNTS = st.integers(-MINOR_MAX // 8, MINOR_MAX // 8).map(Money)
ANY_MINOR = st.integers(-MINOR_MAX, MINOR_MAX)
QUANTITIES = st.integers(-(10**9), 10**9).map(Quantity.of_scaled)
UNIT_PRICES = st.integers(0, 10**16).map(UnitPrice.of_scaled)
WEIGHTS = st.lists(st.integers(0, 10**6) | st.decimals(0, 1000, places=4), min_size=1, max_size=30).filter(
    any
)

NO_AMOUNTS = [
    "", "0", "1", "0.005", "1.5", "1.", ".50", "1E+30", "1e2", "NaN", "Infinity", "1_000", "1_000.00", "+1",
    "+1.00", "1,00", "1.234,50", "1,234.50", " 12 ", " 12.00", "12.00 ", "12.00\n", "\t12.00", "--1.00",
    "-", "-0.00", "-000.00", "0x1.00", "٣.٠٠", "１.００", "12.٠٠", "1.00\x00", "R$ 1.00", "1.00-",
    "1234567890123456.00", "9" * 5000, "9" * 5000 + ".00", "\u22121.00", "½.00", "1²3.00",
]  # fmt: skip


@given(ANY_MINOR)
def test_an_amount_reads_back_as_it_was_written(minor: int) -> None:
    """The wire loses nothing."""
    money = Money(minor)
    assert Money.parse(money.amount) == money
    assert Decimal(money.amount) == Decimal(minor) / 100


@pytest.mark.parametrize(
    ("text", "minor"),
    [("1234.50", 123450), ("0.00", 0), ("0.01", 1), ("-0.01", -1), ("-3000.00", -300000), ("007.00", 700)],
)
def test_plain_amounts_are_read(text: str, minor: int) -> None:
    """Two decimals, always."""
    assert Money.parse(text) == Money(minor)


@pytest.mark.parametrize("text", NO_AMOUNTS)
def test_what_is_not_plainly_an_amount_is_refused(text: str) -> None:
    """Guessing what "1,00" means has cost companies money."""
    with pytest.raises(Invalid) as caught:
        Money.parse(text)
    assert caught.value.code == "invalid-amount"


@pytest.mark.parametrize("given_value", [1, 1.5, None, True, Decimal("1.00"), b"1.00", ["1.00"]])
def test_an_amount_comes_as_text_only(given_value: object) -> None:
    """A JSON number has been a binary fraction somewhere on its way."""
    with pytest.raises(Invalid) as caught:
        Money.parse(given_value)  # type: ignore[arg-type]
    assert caught.value.code == "invalid-amount"


@given(st.text(max_size=20))
def test_any_text_is_read_exactly_or_refused(text: str) -> None:
    """There is no third outcome."""
    try:
        money = Money.parse(text)
    except Invalid:
        return
    assert text.isascii()
    assert Decimal(text) == Decimal(money.amount)


@pytest.mark.parametrize("minor", [1.0, True, False, "1", None, Decimal(1)])
def test_minor_units_are_whole_numbers(minor: object) -> None:
    """Neither a whole float nor a truth value."""
    with pytest.raises(Invalid) as caught:
        Money(minor)  # type: ignore[arg-type]
    assert caught.value.code == "invalid-amount"


def test_the_cap_holds_at_its_edge_and_for_sums() -> None:
    """Ten to the fifteenth is the last amount there is."""
    most, centavo = Money(MINOR_MAX), Money(1)
    assert Money.parse("10000000000000.00") == most
    exceeding: list[Callable[[], Money]] = [
        lambda: Money(MINOR_MAX + 1),
        lambda: Money(-MINOR_MAX - 1),
        lambda: Money.parse("10000000000000.01"),
        lambda: most + centavo,
        lambda: -most - centavo,
        lambda: most * 2,
        lambda: Money.total([most, most]),
        lambda: most.percentage(Decimal("100.0001")),
        lambda: Money.of_product(UnitPrice(10**11), Quantity(10**11)),
    ]
    for exceed in exceeding:
        with pytest.raises(Invalid) as caught:
            exceed()
        assert caught.value.code == "amount-out-of-range"


@pytest.mark.parametrize("currency", ["brl", "BR", "BRLL", "", "B1L", "ÇÇÇ", "BRL\n", "ＢＲＬ", None, 986])
def test_a_currency_is_three_capitals(currency: object) -> None:
    """As in ISO 4217."""
    with pytest.raises(Invalid) as caught:
        Money(1, currency)  # type: ignore[arg-type]
    assert caught.value.code == "invalid-currency"


def test_two_currencies_are_never_mixed() -> None:
    """They are unequal, and anything else about them is a mistake."""
    real, dollar = Money(100), Money(100, "USD")
    assert real != dollar
    for mix in (
        lambda: real + dollar,
        lambda: real - dollar,
        lambda: real < dollar,
        lambda: real <= dollar,
        lambda: real > dollar,
        lambda: real >= dollar,
        lambda: Money.total([real, dollar]),
        lambda: Money.total([], "USD") + real,
    ):
        with pytest.raises(Invalid) as caught:
            mix()
        assert caught.value.code == "currency-mismatch"


def test_money_combines_with_money_only() -> None:
    """And is multiplied by whole numbers only."""
    money = Money(100)
    for mix in (
        lambda: money + 1,  # type: ignore[operator]
        lambda: money - 1,  # type: ignore[operator]
        lambda: money < 1,  # type: ignore[operator]
        lambda: money <= 1,  # type: ignore[operator]
        lambda: money > 1,  # type: ignore[operator]
        lambda: money >= 1,  # type: ignore[operator]
        lambda: money * 1.5,  # type: ignore[operator]
        lambda: money * True,
        lambda: money * money,  # type: ignore[operator]
    ):
        with pytest.raises(TypeError):
            mix()


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_addition_obeys_its_laws(a: Money, b: Money, c: Money) -> None:
    """Order and grouping do not matter, and what is added can be taken away."""
    assert a + b == b + a
    assert (a + b) + c == a + (b + c) == Money.total([a, b, c])
    assert a + b - b == a
    assert a + -a == Money.zero()
    assert a + Money.zero() == a
    assert a - b == a + -b


@given(AMOUNTS, AMOUNTS)
def test_comparison_is_that_of_the_centavos(a: Money, b: Money) -> None:
    """In every direction."""
    assert (a < b, a <= b, a > b, a >= b) == (
        a.minor < b.minor,
        a.minor <= b.minor,
        a.minor > b.minor,
        a.minor >= b.minor,
    )
    assert (a == b) == (a.minor == b.minor)
    assert abs(a).minor == abs(a.minor)
    assert (a.is_positive, a.is_zero, a.is_negative) == (a.minor > 0, a.minor == 0, a.minor < 0)
    assert bool(a) == (not a.is_zero)


@given(st.integers(-1000, 1000).map(Money), st.integers(0, 50))
def test_multiplication_is_repeated_addition(money: Money, times: int) -> None:
    """From both sides."""
    assert money * times == times * money == Money.total([money] * times)


def test_money_cannot_be_changed() -> None:
    """A value is what it is."""
    with pytest.raises(FrozenInstanceError):
        Money(1).minor = 2  # type: ignore[misc]


def test_money_says_what_it_is() -> None:
    """For logs and people."""
    assert str(Money(-123450)) == "-1234.50 BRL"
    assert Money(5, "USD").amount == "0.05"
    assert pickle.loads(pickle.dumps(Money(7, "USD"))) == Money(7, "USD")  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("unit_price", "quantity", "amount"),
    [
        ("10", "3", "30.00"),
        ("0.005", "1", "0.01"),
        ("0.0049999999", "1", "0.00"),
        ("0.3333333333", "3", "1.00"),
        ("0.1", "0.15", "0.02"),
        ("0.005", "-1", "-0.01"),
        ("19.9", "2.5", "49.75"),
    ],
)
def test_a_line_is_rounded_to_the_centavo_once(unit_price: str, quantity: str, amount: str) -> None:
    """Half-up."""
    assert Money.of_product(UnitPrice.parse(unit_price), Quantity.parse(quantity)).amount == amount


@given(UNIT_PRICES, QUANTITIES)
def test_a_line_amount_is_the_exact_product_rounded(unit_price: UnitPrice, quantity: Quantity) -> None:
    """Also in a thread whose decimal context would keep four digits."""
    exact = Fraction(unit_price.value) * Fraction(quantity.value) * 100
    with localcontext(prec=4):
        money = Money.of_product(unit_price, quantity)
    assert abs(money.minor - exact) <= Fraction(1, 2)
    assert Money.of_product(unit_price, -quantity) == -money


@pytest.mark.parametrize(
    ("amount", "rate", "part"),
    [
        ("3000.00", "2", "60.00"),
        ("100.00", "0.165", "0.17"),
        ("0.25", "10", "0.03"),
        ("-0.25", "10", "-0.03"),
        ("10.00", "-5", "-0.50"),
        ("10.00", "0", "0.00"),
        ("10.00", "100", "10.00"),
    ],
)
def test_a_percentage_is_rounded_once(amount: str, rate: str, part: str) -> None:
    """Two means two per cent."""
    assert Money.parse(amount).percentage(Decimal(rate)).amount == part


@pytest.mark.parametrize(
    "rate", [2.0, 2, "2", None, Decimal("NaN"), Decimal("Infinity"), Decimal("1E+99999")]
)
def test_a_percentage_is_a_finite_decimal(rate: object) -> None:
    """Nothing else."""
    with pytest.raises(Invalid) as caught:
        Money(100).percentage(rate)  # type: ignore[arg-type]
    assert caught.value.code == "invalid-percentage"


@given(AMOUNTS, st.integers(1, 10**6), st.integers(1, 10**6))
def test_the_share_of_the_whole_is_everything(money: Money, part: int, whole: int) -> None:
    """So that stock that runs out leaves no value behind."""
    of_part, of_whole = Quantity.of_scaled(min(part, whole)), Quantity.of_scaled(max(part, whole))
    assert money.share(of_whole, of_whole) == money
    assert money.share(Quantity.zero(), of_whole).is_zero
    assert abs(money.share(of_part, of_whole)) <= abs(money)


@given(st.integers(0, 10**9).map(Money), st.integers(1, 10**10).map(Quantity.of_scaled))
def test_the_price_per_unit_gives_the_amount_again(money: Money, quantity: Quantity) -> None:
    """Ten decimals are enough for a million units, to the centavo."""
    assert Money.of_product(money.per_unit(quantity), quantity) == money


def test_nothing_has_neither_shares_nor_a_price() -> None:
    """Division by zero is a question without an answer."""
    for ask in (
        lambda: Money(1).share(Quantity(1), Quantity.zero()),
        lambda: Money(1).per_unit(Quantity.zero()),
    ):
        with pytest.raises(Invalid) as caught:
            ask()
        assert caught.value.code == "invalid-quantity"


@given(ANY_MINOR.map(Money), st.integers(1, 400))
def test_equal_parts_make_the_whole_again(money: Money, parts: int) -> None:
    """All but the last are equal; the last has the centavos left over."""
    split = money.split_equally(parts)
    left_over = abs(money.minor) % parts
    assert len(split) == parts
    assert Money.total(split) == money
    assert set(split[:-1]) <= {split[0]}
    assert max(split).minor - min(split).minor <= left_over
    assert (-money).split_equally(parts) == tuple(-part for part in split)


def test_the_centavos_left_over_are_in_the_last_part() -> None:
    """One hundred in three."""
    assert [part.amount for part in Money(10000).split_equally(3)] == ["33.33", "33.33", "33.34"]


@pytest.mark.parametrize("parts", [0, -1, PARTS_MAX + 1, True, 2.0, "2", None])
def test_a_number_of_parts_is_a_sensible_whole_number(parts: object) -> None:
    """From one up."""
    with pytest.raises(Invalid) as caught:
        Money(100).split_equally(parts)  # type: ignore[arg-type]
    assert caught.value.code == "invalid-parts"


@given(ANY_MINOR.map(Money), WEIGHTS)
def test_an_allocation_makes_the_whole_again(money: Money, weights: list[int | Decimal]) -> None:
    """Each part within a centavo of its exact share, and no weight means no money."""
    parts = money.allocate(weights)
    total = sum((Fraction(weight) for weight in weights), Fraction(0))
    assert Money.total(parts) == money
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part.minor - Fraction(weight) / total * money.minor) < 1
        assert weight or part.is_zero
    assert (-money).allocate(weights) == tuple(-part for part in parts)


def test_an_allocation_gives_the_left_over_to_the_largest_fractions() -> None:
    """The earlier first among equals."""
    assert [part.minor for part in Money(100).allocate([1, 1, 1])] == [34, 33, 33]
    assert [part.minor for part in Money(100).allocate([Decimal("33.3"), Decimal("66.7")])] == [33, 67]
    assert [part.minor for part in Money(-5).allocate([0, 1, 1])] == [0, -3, -2]


@pytest.mark.parametrize(
    "weights",
    [
        [], [0], [0, 0], [1, -1], [Decimal("-0.1"), 1], [1.0], ["1"], [True], [None], [Decimal("NaN")],
        [Decimal("1E+99999")], [1] * (PARTS_MAX + 1),
    ],
)  # fmt: skip
def test_weights_are_numbers_and_not_all_nothing(weights: list[int | Decimal]) -> None:
    """Anything else allocates to nobody."""
    with pytest.raises(Invalid) as caught:
        Money(100).allocate(weights)
    assert caught.value.code == "invalid-weights"


def test_the_rounding_rule_is_at_hand_beside_money() -> None:
    """One function, two doors to it."""
    assert round_half_up(Decimal("2.5")) == 3
