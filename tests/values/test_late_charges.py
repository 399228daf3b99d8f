"""Late charges: fine once, simple interest by the day, rounded as agreed."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_model.values.calendar import is_business_day, next_business_day
from write_model.values.invalid import Invalid
from write_model.values.late_charges import LateTerms, Rounding, charges
from write_model.values.money import Money

pytestmark = pytest.mark.unit

USUAL = LateTerms(fine_pct=Decimal(2), interest_pct_month=Decimal(1))
MONDAY = date(2026, 11, 9)
SATURDAY = date(2026, 11, 7)

PERCENTS = st.decimals(0, 100, places=4)
TERMS = st.builds(
    LateTerms,
    fine_pct=PERCENTS,
    interest_pct_month=PERCENTS,
    day_basis=st.integers(28, 31),
    grace_days=st.integers(0, 30),
    rounding=st.sampled_from(["half_up", "truncate"]),
)
PRINCIPALS = st.integers(0, 10**11).map(Money)
DUES = st.dates(date(2020, 1, 1), date(2040, 12, 31))
DELAYS = st.integers(-30, 400)


def test_three_thousand_ten_days_late() -> None:
    """Sixty of fine, ten of interest."""
    late = charges(Money.parse("3000.00"), MONDAY, MONDAY + timedelta(days=10), USUAL)
    assert (late.fine.amount, late.interest.amount, late.total.amount, late.days_late) == (
        "60.00",
        "10.00",
        "70.00",
        10,
    )


@pytest.mark.parametrize(("rounding", "interest"), [("half_up", "0.17"), ("truncate", "0.16")])
def test_the_agreed_rounding_decides_the_last_centavo(rounding: Rounding, interest: str) -> None:
    """One hundred, five days: 0.1666…"""
    terms = LateTerms(Decimal(2), Decimal(1), rounding=rounding)
    late = charges(Money.parse("100.00"), MONDAY, MONDAY + timedelta(days=5), terms)
    assert (late.fine.amount, late.interest.amount) == ("2.00", interest)


def test_paying_on_the_day_costs_nothing() -> None:
    """Nor does paying before."""
    for days in (-10, 0):
        late = charges(Money(10000), MONDAY, MONDAY + timedelta(days=days), USUAL)
        assert (late.fine.minor, late.interest.minor, late.days_late) == (0, 0, 0)


def test_what_is_due_on_a_saturday_is_payable_on_monday() -> None:
    """On Tuesday the days count from the Saturday."""
    assert charges(Money(300000), SATURDAY, MONDAY, USUAL).total.is_zero
    late = charges(Money(300000), SATURDAY, MONDAY + timedelta(days=1), USUAL)
    assert (late.fine.amount, late.interest.amount, late.days_late) == ("60.00", "3.00", 3)


def test_a_national_or_local_holiday_moves_the_payment_too() -> None:
    """20 November 2026 is a Friday; the Monday after is made a local holiday."""
    friday, tuesday = date(2026, 11, 20), date(2026, 11, 24)
    assert charges(Money(300000), friday, date(2026, 11, 23), USUAL).total.is_zero
    assert charges(Money(300000), friday, tuesday, USUAL).days_late == 4
    assert charges(Money(300000), friday, tuesday, USUAL, {date(2026, 11, 23)}).total.is_zero


def test_grace_is_a_tolerance_not_a_later_due_date() -> None:
    """After it, the days count from the beginning."""
    terms = LateTerms(Decimal(2), Decimal(1), grace_days=3)
    assert charges(Money(300000), MONDAY, MONDAY + timedelta(days=3), terms).total.is_zero
    late = charges(Money(300000), MONDAY, MONDAY + timedelta(days=4), terms)
    assert (late.fine.amount, late.interest.amount, late.days_late) == ("60.00", "4.00", 4)


@given(PRINCIPALS, DUES, DELAYS, TERMS)
def test_charges_are_the_exact_formula_rounded_as_agreed(
    principal: Money, due: date, delay: int, terms: LateTerms
) -> None:
    """And nothing at all until the last free day."""
    paid_on = due + timedelta(days=delay)
    late = charges(principal, due, paid_on, terms)
    if paid_on <= next_business_day(due + timedelta(days=terms.grace_days)):
        assert (late.fine.minor, late.interest.minor, late.days_late) == (0, 0, 0)
        return
    assert late.days_late == delay
    fine = principal.minor * Fraction(terms.fine_pct) / 100
    interest = principal.minor * Fraction(terms.interest_pct_month) / 100 * delay / terms.day_basis
    for charged, exact in ((late.fine.minor, fine), (late.interest.minor, interest)):
        if terms.rounding == "truncate":
            assert 0 <= exact - charged < 1
        else:
            assert -Fraction(1, 2) <= exact - charged < Fraction(1, 2)


@given(PRINCIPALS, DUES, DELAYS, TERMS)
def test_waiting_a_day_more_never_costs_less(
    principal: Money, due: date, delay: int, terms: LateTerms
) -> None:
    """Each part on its own."""
    paid_on = due + timedelta(days=delay)
    today, tomorrow = (charges(principal, due, paid_on + timedelta(days=n), terms) for n in (0, 1))
    assert today.fine <= tomorrow.fine
    assert today.interest <= tomorrow.interest


@given(PRINCIPALS, DUES)
def test_the_first_business_day_is_always_free(principal: Money, due: date) -> None:
    """Whatever day the title falls due on."""
    first = next_business_day(due)
    assert is_business_day(first)
    assert charges(principal, due, first, USUAL).total.is_zero


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fine_pct", Decimal("-0.01")),
        ("fine_pct", Decimal("100.01")),
        ("fine_pct", Decimal("0.00001")),
        ("fine_pct", Decimal("NaN")),
        ("fine_pct", 2.0),
        ("fine_pct", "2"),
        ("interest_pct_month", Decimal(-1)),
        ("interest_pct_month", Decimal("Infinity")),
        ("interest_pct_month", 1),
        ("day_basis", 0),
        ("day_basis", 27),
        ("day_basis", 32),
        ("day_basis", 30.0),
        ("grace_days", -1),
        ("grace_days", 367),
        ("grace_days", True),
        ("rounding", "half_even"),
        ("rounding", None),
    ],
)
def test_senseless_terms_are_refused(field: str, value: object) -> None:
    """When they are agreed, not when they are applied."""
    terms: dict[str, Any] = {"fine_pct": Decimal(2), "interest_pct_month": Decimal(1), field: value}
    with pytest.raises(Invalid) as caught:
        LateTerms(**terms)
    assert caught.value.code == "invalid-late-terms"


def test_nobody_is_late_with_a_negative_debt() -> None:
    """Nor at a moment of the day."""
    with pytest.raises(Invalid) as caught:
        charges(Money(-1), MONDAY, MONDAY, USUAL)
    assert caught.value.code == "invalid-amount"
    moment = datetime(2026, 11, 30, tzinfo=UTC)
    for due, paid_on in ((moment, MONDAY), (MONDAY, moment)):
        with pytest.raises(Invalid) as caught:
            charges(Money(1), due, paid_on, USUAL)
        assert caught.value.code == "invalid-date"


def test_charges_keep_the_currency() -> None:
    """Of the principal."""
    late = charges(Money(10000, "USD"), MONDAY, MONDAY + timedelta(days=30), USUAL)
    assert late.total == Money(300, "USD")
    assert charges(Money(10000, "USD"), MONDAY, MONDAY, USUAL).total == Money(0, "USD")
