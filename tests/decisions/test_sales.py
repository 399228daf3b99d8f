"""Decisions about sales, from draft to cancellation."""

from datetime import date

import pytest

from tests.decisions.sales_setting import (
    BANK,
    CUSTOMER,
    GOODS,
    SALE,
    SERVICE,
    charge,
    draft,
    goods,
    open_shop,
)
from tests.scenario import an_id, brl
from write_model.catalog.product import DiscontinueProduct, ProductIsDiscontinued
from write_model.ledger.accounting_periods import ClosePeriod
from write_model.ledger.events import JournalEntryPosted, JournalEntryReversed
from write_model.message import Invalid, NotFound, PeriodClosed
from write_model.parties.party import BlockParty, PartyIsBlocked
from write_model.processes.books import ReversalTooEarly
from write_model.processes.cancel_sale import CancelSale
from write_model.processes.confirm_sale import ConfirmSale
from write_model.processes.credit import SetCreditLimit
from write_model.processes.draft_sale import ChangeSaleLines, DraftSale
from write_model.processes.settle import ReverseSettlement, SettleInstalment
from write_model.sales.events import SaleCancelled, SaleConfirmed, SaleDrafted, SaleLinesChanged
from write_model.sales.sale import (
    PaymentPlanMismatch,
    RequestedLine,
    SaleAlreadyCancelled,
    SaleNotDraft,
    SaleTotalNegative,
    SaleWithoutLines,
)
from write_model.settlement.credit_line import CreditLimitExceeded, CreditLine
from write_model.settlement.events import CreditUsed, ReceivableCancelled, ReceivableCreated
from write_model.settlement.receivable import (
    ReceivableAlreadySettled,
    instalment_id,
    receivable_id_for,
    settlement_id,
)
from write_model.stock.events import StockIssued, StockReturned
from write_model.stock.stock_item import InsufficientStock, StockItem, main_warehouse, stock_key
from write_model.values.identifiers import PartyId, SaleId
from write_model.values.period import Period
from write_model.values.quantity import Quantity, UnitPrice

DUE = date(2026, 12, 23)


def test_a_draft_takes_the_list_price_and_adds_up_by_kind() -> None:
    shop = open_shop()
    shop.when(draft(goods("2"), charge("freight", "7.50"), charge("discount", "1.25")))
    shop.then(SaleDrafted)
    totals = shop.event(SaleDrafted).totals
    assert (totals.goods, totals.freight, totals.discounts) == (brl("20.00"), brl("7.50"), brl("1.25"))
    assert totals.total == brl("26.25")
    assert shop.balances() == {"1.1.3.01": 3000, "2.3.3.01": -3000}


def test_a_confirmed_sale_moves_stock_receivable_and_books_together() -> None:
    shop = open_shop()
    shop.given(draft(goods("3"), plan=(("10.00", DUE), ("20.00", DUE))))
    shop.when(ConfirmSale(sale_id=SALE))
    shop.then(StockIssued, ReceivableCreated, SaleConfirmed, JournalEntryPosted)
    assert shop.event(SaleConfirmed).cost == brl("9.00")
    assert shop.balances() == {
        "1.1.2.01": 3000,
        "1.1.3.01": 3000 - 900,
        "2.3.3.01": -3000,
        "3.1.1.01": -3000,
        "4.1.1.01": 900,
    }


def test_without_a_plan_the_whole_is_due_in_cash_that_day() -> None:
    shop = open_shop()
    shop.given(draft(goods()))
    shop.when(ConfirmSale(sale_id=SALE), on=date(2026, 10, 1))
    (instalment,) = shop.event(ReceivableCreated).instalments
    assert (instalment.method, instalment.due_date) == ("cash", date(2026, 10, 1))


def test_services_take_nothing_out_of_stock() -> None:
    shop = open_shop()
    shop.given(draft(RequestedLine(product_id=SERVICE)))
    shop.when(ConfirmSale(sale_id=SALE))
    shop.then(ReceivableCreated, SaleConfirmed, JournalEntryPosted)


def test_a_sale_that_costs_nothing_creates_no_receivable() -> None:
    shop = open_shop()
    shop.given(draft(RequestedLine(product_id=SERVICE), charge("discount", "50")))
    shop.when(ConfirmSale(sale_id=SALE))
    shop.then(SaleConfirmed, JournalEntryPosted)
    assert shop.event(SaleConfirmed).receivable_id is None


def test_surcharges_and_discounts_have_lines_of_their_own_in_the_books() -> None:
    shop = open_shop()
    shop.given(draft(RequestedLine(product_id=SERVICE), charge("surcharge", "2"), charge("discount", "5")))
    shop.given(ConfirmSale(sale_id=SALE))
    balances = shop.balances()
    assert (balances["3.3.1.03"], balances["3.2.1.02"], balances["1.1.2.01"]) == (-200, 500, 4700)


def test_stock_cannot_be_oversold_even_across_lines_of_one_sale() -> None:
    shop = open_shop(stock="3")
    shop.given(draft(goods("2"), goods("2")))
    shop.when(ConfirmSale(sale_id=SALE))
    shop.refused(InsufficientStock, on_hand="1", wanted="2")


def test_the_last_piece_takes_what_is_left_of_the_value() -> None:
    shop = open_shop(stock="3", unit_cost="0.3333")
    shop.given(draft(goods("1"), goods("1"), goods("1")))
    shop.when(ConfirmSale(sale_id=SALE))
    item = shop.state(StockItem, stock_key(main_warehouse(shop.id), GOODS))
    assert item.on_hand.is_zero
    assert item.value.is_zero
    assert shop.event(SaleConfirmed).cost == brl("1.00")


@pytest.mark.parametrize(
    ("lines", "plan", "error"),
    [
        ((charge("discount", "1"),), (), SaleTotalNegative),
        ((goods(),), (("9.99", DUE),), PaymentPlanMismatch),
        ((RequestedLine(kind="freight"),), (), Invalid),
        ((RequestedLine(kind="freight", product_id=GOODS),), (), Invalid),
        ((RequestedLine(unit_price=UnitPrice.parse("1")),), (), Invalid),
        ((goods("0"),), (), Invalid),
        ((RequestedLine(product_id=GOODS, discount=brl("10.01")),), (), Invalid),
        ((RequestedLine(product_id=GOODS, discount=brl("-0.01")),), (), Invalid),
    ],
)
def test_a_draft_that_cannot_be_is_refused(
    lines: tuple[RequestedLine, ...], plan: tuple[tuple[str, date], ...], error: type[Exception]
) -> None:
    shop = open_shop()
    shop.when(draft(*lines, plan=plan))
    shop.refused(error)


def test_a_draft_names_a_customer_and_products_that_exist() -> None:
    shop = open_shop()
    shop.when(DraftSale(sale_id=SALE, customer_id=PartyId(SALE), lines=(goods(),)))
    shop.refused(NotFound, resource="party")
    shop.when(draft(RequestedLine(product_id=CUSTOMER, unit_price=UnitPrice.parse("1"))))  # type: ignore[arg-type]
    shop.refused(NotFound, resource="product")


def test_a_blocked_customer_takes_no_new_sale() -> None:
    shop = open_shop()
    shop.given(draft(goods()), BlockParty(party_id=CUSTOMER))
    shop.when(ConfirmSale(sale_id=SALE))
    shop.refused(PartyIsBlocked)


def test_a_discontinued_product_is_not_sold() -> None:
    shop = open_shop()
    shop.given(draft(goods()), DiscontinueProduct(product_id=GOODS))
    shop.when(ConfirmSale(sale_id=SALE))
    shop.refused(ProductIsDiscontinued)


def test_a_draft_may_change_and_a_confirmed_sale_may_not() -> None:
    shop = open_shop()
    shop.given(draft(goods()))
    shop.when(ChangeSaleLines(sale_id=SALE, lines=(goods("2"),)))
    shop.then(SaleLinesChanged)
    shop.given(ConfirmSale(sale_id=SALE))
    shop.when(ChangeSaleLines(sale_id=SALE, lines=(goods("3"),)))
    shop.refused(SaleNotDraft, status="confirmed")
    shop.when(ConfirmSale(sale_id=SALE))
    shop.refused(SaleNotDraft, status="confirmed")


def test_an_empty_draft_is_not_confirmed_but_can_be_cancelled() -> None:
    shop = open_shop()
    shop.given(draft())
    shop.when(ConfirmSale(sale_id=SALE))
    shop.refused(SaleWithoutLines)
    shop.when(CancelSale(sale_id=SALE), reason="engano")
    shop.then(SaleCancelled)


def test_cancelling_a_confirmed_sale_undoes_all_of_it() -> None:
    shop = open_shop()
    before = shop.balances()
    shop.given(draft(goods("3"), charge("freight", "5")), ConfirmSale(sale_id=SALE))
    shop.when(CancelSale(sale_id=SALE), reason="desistência")
    shop.then(ReceivableCancelled, StockReturned, JournalEntryPosted, JournalEntryReversed, SaleCancelled)
    assert shop.balances() == before
    item = shop.state(StockItem, stock_key(main_warehouse(shop.id), GOODS))
    assert (item.on_hand, item.value) == (Quantity.parse("10"), brl("30.00"))
    shop.when(CancelSale(sale_id=SALE), reason="de novo")
    shop.refused(SaleAlreadyCancelled)


def test_a_sale_with_payments_is_cancelled_only_after_they_are_reversed() -> None:
    shop = open_shop()
    shop.given(draft(goods()), ConfirmSale(sale_id=SALE))
    receivable = receivable_id_for(SALE)
    shop.given(
        SettleInstalment(instalment_id=instalment_id(receivable, 1), amount=brl("4.00"), bank_account_id=BANK)
    )
    shop.when(CancelSale(sale_id=SALE), reason="desistência")
    shop.refused(ReceivableAlreadySettled)
    shop.given(ReverseSettlement(settlement_id=settlement_id(receivable, 1)))
    shop.when(CancelSale(sale_id=SALE), reason="desistência")
    assert shop.error is None


def test_a_sale_is_not_cancelled_before_the_day_it_was_confirmed() -> None:
    shop = open_shop()
    shop.given(draft(goods()), ConfirmSale(sale_id=SALE), on=date(2026, 10, 15))
    shop.when(CancelSale(sale_id=SALE), on=date(2026, 10, 14), reason="desistência")
    shop.refused(ReversalTooEarly, first_day="2026-10-15")


def test_nothing_is_confirmed_into_a_closed_month() -> None:
    shop = open_shop()
    shop.given(draft(goods()), ClosePeriod(period=Period(2026, 10)))
    shop.when(ConfirmSale(sale_id=SALE), on=date(2026, 10, 31))
    shop.refused(PeriodClosed, period="2026-10")
    shop.when(ConfirmSale(sale_id=SALE), on=date(2026, 11, 1))
    assert shop.error is None


def test_a_credit_limit_holds_for_every_sale_and_is_given_back_by_payment() -> None:
    shop = open_shop()
    shop.given(SetCreditLimit(party_id=CUSTOMER, limit=brl("15.00"), used=brl("2.00")))
    shop.given(draft(goods()))
    shop.when(ConfirmSale(sale_id=SALE))
    shop.then(StockIssued, ReceivableCreated, CreditUsed, SaleConfirmed, JournalEntryPosted)
    other = SaleId(an_id("other"))
    shop.given(draft(goods(), sale_id=other))
    shop.when(ConfirmSale(sale_id=other))
    shop.refused(CreditLimitExceeded, limit="15.00", used="12.00")
    shop.given(
        SettleInstalment(
            instalment_id=instalment_id(receivable_id_for(SALE), 1), amount=brl("10.00"), bank_account_id=BANK
        )
    )
    assert shop.state(CreditLine, CUSTOMER).used == brl("2.00")
    shop.when(ConfirmSale(sale_id=other))
    assert shop.error is None


def test_only_who_exists_has_a_credit_limit() -> None:
    shop = open_shop()
    shop.when(SetCreditLimit(party_id=PartyId(an_id("nobody")), limit=brl("15.00")))
    shop.refused(NotFound, resource="party")


def test_a_payment_that_came_back_is_owed_again_whatever_the_limit() -> None:
    shop = open_shop()
    shop.given(SetCreditLimit(party_id=CUSTOMER, limit=brl("15.00")))
    shop.given(draft(goods()), ConfirmSale(sale_id=SALE))
    receivable = receivable_id_for(SALE)
    shop.given(
        SettleInstalment(
            instalment_id=instalment_id(receivable, 1), amount=brl("10.00"), bank_account_id=BANK
        )
    )
    other = SaleId(an_id("other"))
    shop.given(draft(goods(), sale_id=other), ConfirmSale(sale_id=other))
    shop.when(ReverseSettlement(settlement_id=settlement_id(receivable, 1)), reason="cheque devolvido")
    assert shop.error is None
    assert shop.state(CreditLine, CUSTOMER).used == brl("20.00")


def test_an_external_reference_names_one_sale() -> None:
    shop = open_shop()
    first = DraftSale(sale_id=SALE, customer_id=CUSTOMER, external_ref="pedido-1")
    shop.given(first)
    other = DraftSale(sale_id=SaleId(an_id("other")), customer_id=CUSTOMER, external_ref="pedido-1")
    shop.when(other)
    assert type(shop.error).__name__ == "AlreadyClaimed"
