"""Decisions about receivables: payments, late charges, reversals."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decisions.sales_setting import BANK, CUSTOMER, SALE, SERVICE, open_shop
from tests.scenario import Company, an_id, brl
from write_model.ledger.accounting_periods import ClosePeriod
from write_model.ledger.events import JournalEntryPosted, JournalEntryReversed
from write_model.message import Invalid, NotFound, PeriodClosed
from write_model.processes.books import ReversalTooEarly
from write_model.processes.confirm_sale import ConfirmSale
from write_model.processes.draft_sale import DraftSale
from write_model.processes.settle import ReverseSettlement, SettleInstalment
from write_model.sales.events import PlannedInstalment
from write_model.sales.sale import RequestedLine
from write_model.settlement.events import InstalmentSettled, SettlementReversed
from write_model.settlement.receivable import (
    DeductionsTooHigh,
    DiscountTooHigh,
    InstalmentNotOpen,
    OverPayment,
    Receivable,
    SettlementAlreadyReversed,
    instalment_id,
    receivable_id_for,
    receivable_of,
    settlement_id,
)
from write_model.values.identifiers import BankAccountId, InstalmentId
from write_model.values.late_charges import LateTerms
from write_model.values.money import Money
from write_model.values.period import Period
from write_model.values.quantity import UnitPrice

# A Monday, so that the due date itself is a business day.
DUE = date(2026, 3, 2)
TITLE = receivable_id_for(SALE)
FIRST = instalment_id(TITLE, 1)


def owed(amount: str = "3000.00", parts: int = 1, terms: LateTerms | None = None) -> Company:
    """A customer owes `amount` in equal parts, all due on 2 March 2026."""
    shop = open_shop()
    plan = tuple(
        PlannedInstalment(method="boleto", due_date=DUE, amount=part)
        for part in brl(amount).split_equally(parts)
    )
    line = RequestedLine(product_id=SERVICE, unit_price=UnitPrice.parse(amount))
    shop.given(
        DraftSale(sale_id=SALE, customer_id=CUSTOMER, lines=(line,), payment_plan=plan),
        ConfirmSale(sale_id=SALE, late_terms=terms),
        on=date(2026, 2, 1),
    )
    return shop


def pay(amount: str, instalment: InstalmentId = FIRST, **more: Money | bool) -> SettleInstalment:
    """A payment into the shop's bank account."""
    return SettleInstalment(
        instalment_id=instalment,
        amount=brl(amount),
        bank_account_id=BANK,
        **more,  # type: ignore[arg-type]
    )


def test_a_payment_on_time_goes_to_the_principal() -> None:
    shop = owed()
    shop.when(pay("1000.00"), on=DUE)
    shop.then(InstalmentSettled, JournalEntryPosted)
    assert shop.event(InstalmentSettled).open_after == brl("2000.00")
    assert shop.balances()["1.1.1.02"] == 100000


def test_ten_days_late_cost_two_per_cent_and_a_third_of_one() -> None:
    shop = owed()
    shop.when(pay("3070.00"), on=date(2026, 3, 12))
    amounts = shop.event(InstalmentSettled).amounts
    assert (amounts.fine, amounts.interest, amounts.principal) == (brl("60.00"), brl("10.00"), brl("3000.00"))
    balances = shop.balances()
    assert (balances["3.3.1.01"], balances["3.3.1.02"]) == (-1000, -6000)
    assert "1.1.2.01" not in balances


@pytest.mark.parametrize(("rounding", "interest"), [("half_up", "0.17"), ("truncate", "0.16")])
def test_the_rounding_of_interest_is_part_of_the_terms(rounding: str, interest: str) -> None:
    terms = LateTerms(Decimal(2), Decimal(1), rounding=rounding)  # type: ignore[arg-type]
    shop = owed("100.00", terms=terms)
    shop.when(pay("50.00"), on=date(2026, 3, 7))
    assert shop.event(InstalmentSettled).amounts.interest == brl(interest)


def test_the_fine_is_charged_once_and_interest_runs_on_from_the_last_late_payment() -> None:
    shop = owed()
    shop.given(pay("1070.00"), on=date(2026, 3, 12))
    shop.when(pay("100.00"), on=date(2026, 3, 27))
    amounts = shop.event(InstalmentSettled).amounts
    # 2,000 open: 25 days of 1 % a month are 16.67, of which 6.67 belong to the first ten days.
    assert (amounts.fine, amounts.interest) == (brl("0.00"), brl("10.00"))


def test_charges_a_payment_does_not_cover_are_carried_over() -> None:
    shop = owed()
    shop.when(pay("65.00"), on=date(2026, 3, 12))
    fact = shop.event(InstalmentSettled)
    assert (fact.amounts.fine, fact.amounts.interest, fact.amounts.principal) == (
        brl("60.00"),
        brl("5.00"),
        brl("0.00"),
    )
    assert (fact.fine_carried, fact.interest_carried, fact.open_after) == (
        brl("0.00"),
        brl("5.00"),
        brl("3000.00"),
    )
    shop.when(pay("3005.00"), on=date(2026, 3, 12))
    assert shop.event(InstalmentSettled).open_after == brl("0.00")


def test_charges_can_be_waived() -> None:
    shop = owed()
    shop.when(pay("3000.00", waive_charges=True), on=date(2026, 3, 12))
    assert shop.event(InstalmentSettled).waived == brl("70.00")
    assert shop.event(InstalmentSettled).open_after == brl("0.00")


def test_fee_tax_and_discount_have_accounts_of_their_own() -> None:
    shop = owed("100.00")
    shop.when(pay("90.00", discount=brl("10.00"), fee=brl("3.00"), tax_withheld=brl("1.50")), on=DUE)
    fact = shop.event(InstalmentSettled)
    assert (fact.amounts.net, fact.amounts.principal, fact.open_after) == (
        brl("85.50"),
        brl("100.00"),
        brl("0.00"),
    )
    balances = shop.balances()
    assert {code: balances[code] for code in ("1.1.1.02", "5.1.1.03", "1.1.4.02", "5.3.1.03")} == {
        "1.1.1.02": 8550,
        "5.1.1.03": 300,
        "1.1.4.02": 150,
        "5.3.1.03": 1000,
    }


@pytest.mark.parametrize(
    ("payment", "error"),
    [
        (pay("3000.01"), OverPayment),
        (pay("0.00"), Invalid),
        (pay("-1.00"), Invalid),
        (pay("10.00", discount=brl("-1.00")), Invalid),
        (pay("10.00", fee=brl("-1.00")), Invalid),
        (pay("10.00", fee=brl("8.00"), tax_withheld=brl("2.01")), DeductionsTooHigh),
        (pay("2990.00", discount=brl("10.01")), OverPayment),
        (pay("1.00", InstalmentId(an_id("none"))), NotFound),
        (pay("1.00", instalment_id(TITLE, 2)), NotFound),
    ],
)
def test_a_payment_that_cannot_be_is_refused(payment: SettleInstalment, error: type[Exception]) -> None:
    shop = owed()
    shop.when(payment, on=DUE)
    shop.refused(error)


def test_over_payment_says_what_is_owed_charges_included() -> None:
    shop = owed()
    shop.when(pay("3070.01"), on=date(2026, 3, 12))
    shop.refused(OverPayment, max="3070.00")


def test_a_discount_cannot_exceed_the_principal_of_its_payment() -> None:
    shop = owed()
    shop.when(pay("60.00", discount=brl("0.01")), on=date(2026, 3, 12))
    # The fine takes all of the payment, the discount takes itself off the principal.
    assert shop.event(InstalmentSettled).amounts.principal == brl("0.01")
    assert DiscountTooHigh.pt


def test_a_paid_instalment_is_not_paid_again() -> None:
    shop = owed()
    shop.given(pay("3000.00"), on=DUE)
    shop.when(pay("1.00"), on=DUE)
    shop.refused(InstalmentNotOpen)


def test_a_payment_needs_an_account_that_exists() -> None:
    shop = owed()
    missing = BankAccountId(an_id("missing"))
    shop.when(SettleInstalment(instalment_id=FIRST, amount=brl("1.00"), bank_account_id=missing), on=DUE)
    shop.refused(NotFound, resource="bank_account")


def test_the_day_of_a_payment_is_its_own() -> None:
    shop = owed()
    shop.given(ClosePeriod(period=Period(2026, 3)))
    shop.when(
        SettleInstalment(instalment_id=FIRST, amount=brl("1.00"), bank_account_id=BANK, paid_on=DUE),
        on=date(2026, 4, 1),
    )
    shop.refused(PeriodClosed, period="2026-03")


def test_a_reversal_restores_what_was_open_and_the_books() -> None:
    shop = owed("100.00")
    before = shop.balances()
    shop.given(pay("40.00", fee=brl("2.00")), on=DUE)
    shop.when(ReverseSettlement(settlement_id=settlement_id(TITLE, 1)), reason="cheque devolvido")
    shop.then(SettlementReversed, JournalEntryPosted, JournalEntryReversed)
    assert shop.event(SettlementReversed).open_after == brl("100.00")
    assert shop.balances() == before
    shop.when(ReverseSettlement(settlement_id=settlement_id(TITLE, 1)), reason="de novo")
    shop.refused(SettlementAlreadyReversed)
    shop.when(ReverseSettlement(settlement_id=settlement_id(TITLE, 9)), reason="inexistente")
    shop.refused(NotFound, resource="settlement")


def test_after_the_reversal_of_a_late_payment_its_charges_are_due_again() -> None:
    shop = owed()
    shop.given(pay("70.00"), on=date(2026, 3, 12))
    shop.given(ReverseSettlement(settlement_id=settlement_id(TITLE, 1)))
    shop.when(pay("3070.00"), on=date(2026, 3, 12))
    assert shop.event(InstalmentSettled).open_after == brl("0.00")


def test_after_the_reversal_of_the_payment_that_paid_the_fine_it_is_due_again() -> None:
    shop = owed("1000.00")
    shop.given(pay("20.00"), pay("103.33"), on=date(2026, 3, 12))
    shop.given(ReverseSettlement(settlement_id=settlement_id(TITLE, 1)))
    # 1,023.33 were due and 103.33 are paid.
    shop.when(pay("920.01"), on=date(2026, 3, 12))
    shop.refused(OverPayment, max="920.00")


def test_nothing_is_reversed_before_the_day_it_was_paid() -> None:
    shop = owed("100.00")
    shop.given(pay("100.00"), on=DUE)
    shop.when(ReverseSettlement(settlement_id=settlement_id(TITLE, 1)), on=date(2026, 3, 1), reason="engano")
    shop.refused(ReversalTooEarly, first_day="2026-03-02")
    shop.when(ReverseSettlement(settlement_id=settlement_id(TITLE, 1)), on=DUE, reason="engano")
    assert shop.error is None


def test_ids_of_instalments_and_settlements_find_their_title() -> None:
    assert receivable_of(instalment_id(TITLE, 360)) == TITLE
    assert receivable_of(settlement_id(TITLE, 60000)) == TITLE
    assert instalment_id(TITLE, 1) != settlement_id(TITLE, 1)


@settings(max_examples=40, deadline=None)
@given(
    parts=st.integers(1, 6),
    payments=st.lists(
        st.tuples(st.integers(1, 6), st.integers(1, 60_000), st.integers(0, 90), st.booleans()), max_size=12
    ),
)
def test_whatever_is_paid_and_reversed_title_and_books_agree(
    parts: int, payments: list[tuple[int, int, int, bool]]
) -> None:
    shop = owed("1000.00", parts)
    made = 0
    for number, minor, days, undo in payments:
        day = date.fromordinal(DUE.toordinal() + days)
        shop.when(pay(Money(minor).amount, instalment_id(TITLE, number)), on=day)
        made += shop.error is None
        if undo and shop.error is None:
            shop.given(ReverseSettlement(settlement_id=settlement_id(TITLE, made)), on=day)
        title = shop.state(Receivable, TITLE)
        assert shop.balances().get("1.1.2.01", 0) == title.open_amount.minor
        assert all(
            Money.zero() <= title.open_of(key) <= item.amount for key, item in title.instalments.items()
        )
