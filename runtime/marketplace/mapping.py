"""What an export means in the books: each order as a plan, each plan as ordinary commands. Pure functions.

    delivered, shipped, invoiced, processing   a sale, confirmed on the day of approval (else of purchase)
    canceled, unavailable                      a sale that was drafted and cancelled: the books do not move
    created, approved                          a draft: somebody has still to decide

Items are lines of one unit each, freight is one line of its own. What was paid beyond items and freight is
a surcharge line, what was paid less a discount line: a difference is shown, never hidden. Each payment is
an instalment plan of equal parts, the centavos left over in the last. Boleto, voucher and debit are due on
the day of approval and, once delivered, settled on it; card instalments are due every thirty days after it,
and settled on their due date up to a last day.

Ids and idempotency keys follow from the company and the ids of the source, so the same order is the same
sale however often it is sent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID, uuid5

from runtime.marketplace.read import Customer, Item, Order, PaymentRow, Product
from write_model.sales.sale import INSTALMENTS_MAX, LINES_MAX
from write_model.settlement.receivable import instalment_id, receivable_id_for
from write_model.values.dates import YEAR_MAX
from write_model.values.identifiers import encode
from write_model.values.money import Money

CONFIRMED = frozenset({"delivered", "shipped", "invoiced", "processing"})
CANCELLED = {
    "canceled": "Pedido cancelado no marketplace",
    "unavailable": "Pedido indisponível no marketplace",
}
CARD = "credit_card"
CARD_INTERVAL = timedelta(days=30)
ACCOUNT_NAME = "Marketplace"
_SHOWN_CHARACTERS = 8

Body = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Asked:
    """A command as a client asks for it."""

    topic: str
    target: str
    key: str
    body: Body
    effective_date: date | None = None
    reason: str | None = None


class Unfit(ValueError):
    """An order that cannot be a sale; says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """One instalment: settled on its day, or left open."""

    number: int
    method: str
    due_on: date
    amount: int
    settled: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What an order is here; amounts in centavos."""

    order: Order
    sale_id: UUID
    goods: int
    freight: int
    parts: tuple[Part, ...]

    @property
    def total(self) -> int:
        """What the customer pays."""
        return sum(part.amount for part in self.parts)

    @property
    def difference(self) -> int:
        """Paid beyond items and freight; negative when less was paid."""
        return self.total - self.goods - self.freight

    @property
    def outcome(self) -> str:
        """The status of the sale in the books."""
        if self.order.status in CONFIRMED:
            return "confirmed"
        return "cancelled" if self.order.status in CANCELLED else "draft"


def plan_of(company_id: UUID, order: Order, settle_until: date) -> Plan:
    """Work out an order; raises Unfit when it cannot be a sale."""
    parts: list[Part] = []
    for payment in order.payments:
        parts.extend(_parts(order, payment, len(parts), settle_until))
    if len(parts) > INSTALMENTS_MAX:
        raise Unfit(f"{len(parts)} instalments, at most {INSTALMENTS_MAX}")
    # Two more lines: freight and difference.
    if len(order.items) > LINES_MAX - 2:
        raise Unfit(f"{len(order.items)} items, at most {LINES_MAX - 2}")
    if order.status in CONFIRMED and not order.items and not parts:
        raise Unfit("neither items nor payments")
    return Plan(
        order=order,
        sale_id=sale_id(company_id, order.order_id),
        goods=sum(item.price for item in order.items),
        freight=sum(item.freight for item in order.items),
        parts=tuple(parts),
    )


def _parts(order: Order, payment: PaymentRow, before: int, settle_until: date) -> Iterator[Part]:
    """The instalments of one payment; of nothing, none."""
    if payment.value == 0:
        return
    if payment.instalments > INSTALMENTS_MAX:
        raise Unfit(f"{payment.instalments} instalments, at most {INSTALMENTS_MAX}")
    is_card = payment.method == CARD
    shares = enumerate(Money(payment.value).split_equally(payment.instalments), start=1)
    # Of fewer centavos than instalments, all are in the last one.
    due = [(k, share) for k, share in shares if share.is_positive]
    for number, (k, share) in enumerate(due, start=before + 1):
        due_on = order.confirmed_on + CARD_INTERVAL * k if is_card else order.confirmed_on
        if due_on.year > YEAR_MAX:
            raise Unfit(f"an instalment is due after the year {YEAR_MAX}")
        is_paid = due_on <= settle_until if is_card else order.status == "delivered"
        yield Part(
            number=number,
            method=payment.method,
            due_on=due_on,
            amount=share.minor,
            settled=order.status in CONFIRMED and is_paid,
        )


# --- commands -----------------------------------------------------------------------------------------


def open_account(company_id: UUID) -> Asked:
    """The account the marketplace pays into."""
    account = account_id(company_id)
    body = {"name": ACCOUNT_NAME, "account_kind": "payment"}
    return Asked("treasury.open_bank_account", encode("bnk", account), f"marketplace/account/{account}", body)


def register_party(company_id: UUID, customer: Customer) -> Asked:
    """A customer: where they are and how the marketplace calls them. No name is known, none is made up."""
    party = party_id(company_id, customer.customer_id)
    body = {
        "name": f"Cliente {customer.customer_id[:_SHOWN_CHARACTERS]}",
        "roles": ["customer"],
        "external_ref": customer.customer_id,
        **_given(city=customer.city, state=customer.state),
    }
    return Asked("parties.register_party", encode("pty", party), f"marketplace/party/{party}", body)


def register_product(company_id: UUID, product: Product) -> Asked:
    """A product of the catalogue. The sellers keep the stock, so none is kept here."""
    product_id_ = product_id(company_id, product.product_id)
    body = {
        "sku": product.product_id,
        "name": f"Produto {product.product_id[:_SHOWN_CHARACTERS]}",
        "stock_controlled": False,
        **_given(category=product.category),
    }
    key = f"marketplace/product/{product_id_}"
    return Asked("catalog.register_product", encode("prd", product_id_), key, body)


def commands_of(company_id: UUID, plan: Plan) -> Iterator[Asked]:
    """The commands of one order, in the order in which they must be decided."""
    order, target = plan.order, encode("sal", plan.sale_id)
    draft = {
        "customer_id": encode("pty", party_id(company_id, order.customer_id)),
        "lines": [*_lines(company_id, plan)],
        "payment_plan": [
            {"method": part.method, "due_date": part.due_on.isoformat(), "amount": money(part.amount)}
            for part in plan.parts
        ],
        "external_ref": order.order_id,
    }
    yield Asked(
        "sales.draft_sale",
        target,
        f"marketplace/draft/{plan.sale_id}",
        draft,
        effective_date=order.purchased_on,
    )
    if plan.outcome == "cancelled":
        yield Asked(
            "sales.cancel_sale",
            target,
            f"marketplace/cancel/{plan.sale_id}",
            {},
            effective_date=order.confirmed_on,
            reason=CANCELLED[order.status],
        )
    if plan.outcome == "confirmed":
        key = f"marketplace/confirm/{plan.sale_id}"
        yield Asked("sales.confirm_sale", target, key, {}, effective_date=order.confirmed_on)
        yield from _settlements(company_id, plan)


def _lines(company_id: UUID, plan: Plan) -> Iterator[Body]:
    for item in plan.order.items:
        yield _product_line(company_id, item)
    if plan.freight:
        yield _line("freight", "Frete", plan.freight)
    if plan.difference > 0:
        yield _line("surcharge", "Pago além de itens e frete", plan.difference)
    if plan.difference < 0:
        yield _line("discount", "Pago a menos que itens e frete", -plan.difference)


def _product_line(company_id: UUID, item: Item) -> Body:
    return {
        "kind": "product",
        "product_id": encode("prd", product_id(company_id, item.product_id)),
        "quantity": "1",
        "unit_price": money(item.price)["amount"],
    }


def _line(kind: str, description: str, amount: int) -> Body:
    return {
        "kind": kind,
        "description": description,
        "quantity": "1",
        "unit_price": money(amount)["amount"],
    }


def _settlements(company_id: UUID, plan: Plan) -> Iterator[Asked]:
    receivable_id = receivable_id_for(plan.sale_id)
    account = encode("bnk", account_id(company_id))
    for part in plan.parts:
        if part.settled:
            instalment = instalment_id(receivable_id, part.number)
            body = {
                "amount": money(part.amount),
                "bank_account_id": account,
                "paid_on": part.due_on.isoformat(),
            }
            key = f"marketplace/settle/{instalment}"
            yield Asked("settlement.settle_instalment", encode("ins", instalment), key, body)


def command_count(plan: Plan) -> int:
    """How many commands the order is, without making them."""
    settled = sum(part.settled for part in plan.parts)
    return 1 + (plan.outcome != "draft") + settled


# --- names --------------------------------------------------------------------------------------------


def party_id(company_id: UUID, customer_id: str) -> UUID:
    """The party a customer is in this company."""
    return uuid5(company_id, f"marketplace.customer/{customer_id}")


def product_id(company_id: UUID, source_id: str) -> UUID:
    """The product of this company that a product of the source is."""
    return uuid5(company_id, f"marketplace.product/{source_id}")


def sale_id(company_id: UUID, order_id: str) -> UUID:
    """The sale an order is in this company."""
    return uuid5(company_id, f"marketplace.order/{order_id}")


def account_id(company_id: UUID) -> UUID:
    """The bank account that the marketplace pays into."""
    return uuid5(company_id, "marketplace.account")


def money(centavos: int) -> dict[str, str]:
    """An amount as it stands on the wire."""
    amount = Money(centavos)
    return {"amount": amount.amount, "currency": amount.currency}


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
