"""Facts about sales."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from write_model.message import Event, event
from write_model.values.identifiers import PartyId, ProductId, ReceivableId, SaleId, WarehouseId
from write_model.values.money import Money
from write_model.values.quantity import Quantity, UnitPrice

LineKind = Literal["product", "freight", "surcharge", "discount"]
PaymentMethod = Literal[
    "cash", "pix", "boleto", "credit_card", "debit_card", "voucher", "bank_transfer", "other"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleLine:
    """One line; `net` = quantity x unit price - discount, rounded once; negative for a `discount` line."""

    number: int
    kind: LineKind
    product_id: ProductId | None
    description: str | None
    quantity: Quantity
    unit_price: UnitPrice
    discount: Money
    net: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedInstalment:
    """One payment the customer agreed to."""

    method: PaymentMethod
    due_date: date
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleTotals:
    """What a sale adds up to: total = goods + freight + surcharges - discounts, exactly."""

    goods: Money
    freight: Money
    surcharges: Money
    discounts: Money
    total: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedGoods:
    """What one line took out of stock, at the cost it left with."""

    product_id: ProductId
    quantity: Quantity
    value: Money


@event("sales.sale_drafted", pt="Venda em rascunho, {lines} linha(s)", en="Sale drafted, {lines} line(s)")
class SaleDrafted(Event):
    """A sale was written down; nothing has moved yet."""

    sale_id: SaleId
    customer_id: PartyId
    lines: tuple[SaleLine, ...]
    totals: SaleTotals
    payment_plan: tuple[PlannedInstalment, ...]
    external_ref: str | None


@event("sales.sale_lines_changed", pt="Itens da venda alterados", en="Sale lines changed")
class SaleLinesChanged(Event):
    """The draft now has these lines and this plan; the whole new set."""

    sale_id: SaleId
    lines: tuple[SaleLine, ...]
    totals: SaleTotals
    payment_plan: tuple[PlannedInstalment, ...]


@event("sales.sale_confirmed", pt="Venda confirmada em {confirmed_on}", en="Sale confirmed on {confirmed_on}")
class SaleConfirmed(Event):
    """The sale is final: revenue is earned, stock issued, a receivable created unless the total is zero."""

    sale_id: SaleId
    customer_id: PartyId
    confirmed_on: date
    warehouse_id: WarehouseId
    totals: SaleTotals
    issued: tuple[IssuedGoods, ...]
    cost: Money
    payment_plan: tuple[PlannedInstalment, ...]
    receivable_id: ReceivableId | None


@event("sales.sale_cancelled", pt="Venda cancelada", en="Sale cancelled")
class SaleCancelled(Event):
    """The sale is void. `confirmed_on` is None for a draft, which had no effect to undo."""

    sale_id: SaleId
    customer_id: PartyId
    confirmed_on: date | None
    totals: SaleTotals
    cost: Money
