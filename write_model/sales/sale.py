"""A sale: drafted, then confirmed or cancelled."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, assert_never

from write_model.message import Invalid, RuleBroken, State, StateConflict
from write_model.sales.events import (
    IssuedGoods,
    LineKind,
    PlannedInstalment,
    SaleCancelled,
    SaleConfirmed,
    SaleDrafted,
    SaleLine,
    SaleLinesChanged,
    SaleTotals,
)
from write_model.values.identifiers import PartyId, ProductId, ReceivableId, WarehouseId
from write_model.values.limits import Memo, require_not_negative, require_positive
from write_model.values.money import Money
from write_model.values.quantity import Quantity, UnitPrice

Facts = SaleDrafted | SaleLinesChanged | SaleConfirmed | SaleCancelled

LINES_MAX = 1_000
INSTALMENTS_MAX = 360


class Sale(State):
    """Where a sale stands, what it says, and what its confirmation did."""

    __slots__ = (
        "confirmed_on",
        "cost",
        "customer_id",
        "issued",
        "lines",
        "payment_plan",
        "receivable_id",
        "status",
        "totals",
        "warehouse_id",
    )
    kind: ClassVar[str] = "sales.sale"

    def __init__(self) -> None:
        self.status = "unknown"
        self.customer_id: PartyId | None = None
        self.lines: tuple[SaleLine, ...] = ()
        self.totals = totals_of(())
        self.payment_plan: tuple[PlannedInstalment, ...] = ()
        self.confirmed_on: date | None = None
        self.warehouse_id: WarehouseId | None = None
        self.issued: tuple[IssuedGoods, ...] = ()
        self.cost = Money.zero()
        self.receivable_id: ReceivableId | None = None

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case SaleDrafted():
                self.status = "draft"
                self.customer_id = fact.customer_id
                self.lines, self.totals, self.payment_plan = fact.lines, fact.totals, fact.payment_plan
            case SaleLinesChanged():
                self.lines, self.totals, self.payment_plan = fact.lines, fact.totals, fact.payment_plan
            case SaleConfirmed():
                self.status = "confirmed"
                self.confirmed_on, self.warehouse_id = fact.confirmed_on, fact.warehouse_id
                self.issued, self.cost = fact.issued, fact.cost
                self.payment_plan, self.receivable_id = fact.payment_plan, fact.receivable_id
            case SaleCancelled():
                self.status = "cancelled"
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """Status and total."""
        return {"status": self.status, "total": self.totals.total}

    @property
    def customer(self) -> PartyId:
        """Who buys; a sale that exists has one."""
        if self.customer_id is None:
            raise LookupError("an empty sale has no customer")
        return self.customer_id


class SaleNotDraft(StateConflict):
    """This sale is no longer a draft."""

    pt = "Esta venda não é mais um rascunho"


class SaleAlreadyCancelled(StateConflict):
    """This sale is already cancelled."""

    pt = "Esta venda já está cancelada"


class SaleWithoutLines(RuleBroken):
    """A sale needs at least one line before it is confirmed."""

    pt = "Uma venda precisa de ao menos um item para ser confirmada"


class SaleTotalNegative(RuleBroken):
    """The discounts are greater than what is sold."""

    pt = "Os descontos são maiores que o valor vendido"


class PaymentPlanMismatch(RuleBroken):
    """The payment plan does not add up to the total of the sale."""

    pt = "O plano de pagamento não soma o total da venda"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedLine:
    """A line as a client asks for it; without a unit price, the product's list price."""

    kind: LineKind = "product"
    product_id: ProductId | None = None
    description: Memo | None = None
    quantity: Quantity = Quantity(1)  # noqa: RUF009 - immutable
    unit_price: UnitPrice | None = None
    discount: Money | None = None


def price_line(number: int, asked: RequestedLine, list_price: UnitPrice | None) -> SaleLine:
    """Make a line: net = quantity x price - discount, rounded once; negative for a `discount` line.

    Refuses a product line without product, another line with one, and a net below zero.
    """
    field = f"lines/{number - 1}"
    if (asked.product_id is not None) != (asked.kind == "product"):
        raise Invalid("product-mismatch", "Only a product line names a product.", {"field": field})
    price = asked.unit_price if asked.unit_price is not None else list_price
    if price is None:
        raise Invalid("unit-price-required", "This line needs a unit price.", {"field": field})
    require_positive(asked.quantity, f"{field}/quantity")
    discount = asked.discount or Money.zero()
    require_not_negative(discount, f"{field}/discount")
    net = Money.of_product(price, asked.quantity) - discount
    require_not_negative(net, f"{field}/discount")
    return SaleLine(
        number=number,
        kind=asked.kind,
        product_id=asked.product_id,
        description=asked.description,
        quantity=asked.quantity,
        unit_price=price,
        discount=discount,
        net=-net if asked.kind == "discount" else net,
    )


def totals_of(lines: Iterable[SaleLine]) -> SaleTotals:
    """Add the lines up by kind; the total is their sum exactly."""
    sums: dict[str, Money] = {}
    for line in lines:
        sums[line.kind] = sums.get(line.kind, Money.zero()) + line.net
    zero = Money.zero()
    return SaleTotals(
        goods=sums.get("product", zero),
        freight=sums.get("freight", zero),
        surcharges=sums.get("surcharge", zero),
        discounts=-sums.get("discount", zero),
        total=Money.total(sums.values()),
    )


def require_plan(plan: Sequence[PlannedInstalment], total: Money) -> None:
    """Refuse a plan that has an empty instalment or does not add up to the total."""
    for number, instalment in enumerate(plan):
        require_positive(instalment.amount, f"payment_plan/{number}/amount")
    planned = Money.total(instalment.amount for instalment in plan)
    if planned != total:
        raise PaymentPlanMismatch(planned=planned, total=total)
