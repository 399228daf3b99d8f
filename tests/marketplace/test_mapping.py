"""An order becomes the sale it is: lines, instalments and settlements to the centavo."""

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest

from runtime.marketplace import mapping
from runtime.marketplace.mapping import Asked, Unfit, commands_of, plan_of
from runtime.marketplace.read import Customer, Item, Order, PaymentRow, Product
from write_model.settlement.receivable import instalment_id, receivable_id_for
from write_model.values.identifiers import decode, encode

COMPANY = UUID("019363d2-7a00-7000-8000-000000000001")
APPROVED = date(2017, 10, 3)
UNTIL = date(2018, 10, 17)


def order(
    payments: Sequence[tuple[str, int, int]] = (("boleto", 1, 11000),),
    items: Sequence[tuple[int, int]] = ((10000, 1000),),
    status: str = "delivered",
    approved_on: date | None = APPROVED,
) -> Order:
    """(method, instalments, value) and (price, freight), in centavos."""
    return Order(
        line=2,
        order_id="o1",
        customer_id="c1",
        status=status,
        purchased_on=date(2017, 10, 2),
        approved_on=approved_on,
        items=[Item(n, "p1", price, freight) for n, (price, freight) in enumerate(items, 1)],
        payments=[PaymentRow(n, *payment) for n, payment in enumerate(payments, 1)],
    )


def commands(given: Order, until: date = UNTIL) -> list[Asked]:
    plan = plan_of(COMPANY, given, until)
    found = [*commands_of(COMPANY, plan)]
    assert len(found) == mapping.command_count(plan)
    return found


def topics(given: Order) -> list[str]:
    return [asked.topic for asked in commands(given)]


def lines(given: Order) -> list[tuple[object, object]]:
    """(kind, unit price) of the drafted lines."""
    draft = commands(given)[0].body
    return [(line["kind"], line["unit_price"]) for line in draft["lines"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", ["delivered", "shipped", "invoiced", "processing"])
def test_orders_on_their_way_are_confirmed_sales(status: str) -> None:
    draft, confirm, *_ = commands(order(status=status))
    assert (draft.topic, draft.effective_date) == ("sales.draft_sale", date(2017, 10, 2))
    assert (confirm.topic, confirm.effective_date) == ("sales.confirm_sale", APPROVED)
    assert draft.body["external_ref"] == "o1"


def test_without_an_approval_the_purchase_counts() -> None:
    confirm = commands(order(approved_on=None))[1]
    assert confirm.effective_date == date(2017, 10, 2)


@pytest.mark.parametrize("status", ["canceled", "unavailable"])
def test_orders_that_came_to_nothing_are_cancelled_with_a_reason(status: str) -> None:
    _, cancel = commands(order(status=status))
    assert cancel.topic == "sales.cancel_sale"
    assert cancel.reason


@pytest.mark.parametrize("status", ["created", "approved"])
def test_orders_nobody_has_decided_stay_drafts(status: str) -> None:
    assert topics(order(status=status)) == ["sales.draft_sale"]


def test_items_are_lines_and_freight_is_one_of_its_own() -> None:
    given = order(items=[(10000, 1000), (2550, 551)], payments=[("voucher", 1, 14101)])
    assert lines(given) == [("product", "100.00"), ("product", "25.50"), ("freight", "15.51")]


def test_free_freight_is_no_line() -> None:
    assert lines(order(items=[(11000, 0)])) == [("product", "110.00")]


def test_what_was_paid_beyond_is_a_surcharge_line() -> None:
    assert lines(order(payments=[("boleto", 1, 11007)]))[-1] == ("surcharge", "0.07")


def test_what_was_paid_less_is_a_discount_line() -> None:
    assert lines(order(payments=[("boleto", 1, 10900)]))[-1] == ("discount", "1.00")


def test_a_sale_nobody_paid_is_discounted_to_nothing() -> None:
    draft, *_ = commands(order(payments=[]))
    assert lines(order(payments=[]))[-1] == ("discount", "110.00")
    assert draft.body["payment_plan"] == []


def test_a_payment_without_items_is_all_surcharge() -> None:
    assert lines(order(items=[])) == [("surcharge", "110.00")]


@pytest.mark.parametrize("method", ["boleto", "voucher", "debit_card"])
def test_cash_is_due_at_approval_and_settled_once_delivered(method: str) -> None:
    settle = commands(order(payments=[(method, 1, 11000)]))[-1]
    assert settle.topic == "settlement.settle_instalment"
    assert settle.body["paid_on"] == "2017-10-03"
    assert settle.body["amount"] == {"amount": "110.00", "currency": "BRL"}


@pytest.mark.parametrize("method", ["boleto", "voucher", "debit_card"])
def test_cash_of_an_order_on_its_way_is_open(method: str) -> None:
    given = order(payments=[(method, 1, 11000)], status="shipped")
    assert topics(given) == ["sales.draft_sale", "sales.confirm_sale"]


def test_card_instalments_fall_due_every_thirty_days() -> None:
    parts = plan_of(COMPANY, order(payments=[("credit_card", 3, 11000)]), UNTIL).parts
    assert [(part.number, part.due_on, part.amount) for part in parts] == [
        (1, APPROVED + timedelta(30), 3666),
        (2, APPROVED + timedelta(60), 3666),
        (3, APPROVED + timedelta(90), 3668),
    ]


def test_fewer_centavos_than_instalments_are_all_in_the_last_one() -> None:
    parts = plan_of(COMPANY, order(payments=[("credit_card", 12, 11), ("voucher", 1, 10989)]), UNTIL).parts
    assert [(part.number, part.due_on, part.amount) for part in parts] == [
        (1, APPROVED + timedelta(360), 11),
        (2, APPROVED, 10989),
    ]


@pytest.mark.parametrize("status", ["delivered", "shipped"])
def test_card_instalments_are_settled_on_their_due_date_up_to_a_day(status: str) -> None:
    given = order(payments=[("credit_card", 3, 11000)], status=status)
    found = commands(given, until=APPROVED + timedelta(60))
    assert [asked.body["paid_on"] for asked in found[2:]] == ["2017-11-02", "2017-12-02"]


def test_instalments_of_several_payments_are_numbered_through() -> None:
    given = order(payments=[("credit_card", 2, 10000), ("voucher", 1, 0), ("voucher", 1, 1000)])
    plan = plan_of(COMPANY, given, UNTIL)
    assert [(part.number, part.method, part.amount) for part in plan.parts] == [
        (1, "credit_card", 5000),
        (2, "credit_card", 5000),
        (3, "voucher", 1000),
    ]
    title = receivable_id_for(plan.sale_id)
    targets = [asked.target for asked in commands(given)[2:]]
    assert targets == [encode("ins", instalment_id(title, number)) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (order(payments=[("credit_card", 361, 11000)]), "361 instalments"),
        (order(payments=[("credit_card", 200, 11000), ("credit_card", 200, 11000)]), "400 instalments"),
        (order(items=[(1, 0)] * 999), "999 items"),
        (order(items=[], payments=[]), "neither items nor payments"),
    ],
)
def test_orders_that_cannot_be_sales_say_why(given: Order, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        plan_of(COMPANY, given, UNTIL)


def test_an_empty_order_may_be_cancelled() -> None:
    assert topics(order(items=[], payments=[], status="unavailable")) == [
        "sales.draft_sale",
        "sales.cancel_sale",
    ]


def test_ids_and_keys_follow_from_company_and_source() -> None:
    first, again = commands(order()), commands(order())
    assert first == again
    assert len({asked.key for asked in first}) == len(first)
    other = [*commands_of(uuid4(), plan_of(uuid4(), order(), UNTIL))]
    assert not {asked.key for asked in first} & {asked.key for asked in other}


def test_customers_are_not_given_names() -> None:
    asked = mapping.register_party(COMPANY, Customer(2, "0123456789abcdef", "osasco", None))
    assert asked.body == {
        "name": "Cliente 01234567",
        "roles": ["customer"],
        "external_ref": "0123456789abcdef",
        "city": "osasco",
    }
    assert decode("pty", asked.target) == mapping.party_id(COMPANY, "0123456789abcdef")


def test_products_keep_no_stock() -> None:
    asked = mapping.register_product(COMPANY, Product(2, "0123456789abcdef", "brinquedos"))
    assert asked.body["stock_controlled"] is False
    assert asked.body["sku"] == "0123456789abcdef"
    assert asked.body["category"] == "brinquedos"
