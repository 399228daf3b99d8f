"""Draft a sale, and change the draft: customer and products must exist and be open for business."""

from collections.abc import Sequence

from write_model.catalog.product import Product, ProductIsDiscontinued
from write_model.claims.claim import claim
from write_model.message import Command, Invalid, Streams, command
from write_model.parties.party import Party, PartyIsBlocked
from write_model.sales.events import PlannedInstalment, SaleDrafted, SaleLine, SaleLinesChanged
from write_model.sales.sale import (
    INSTALMENTS_MAX,
    LINES_MAX,
    RequestedLine,
    Sale,
    SaleNotDraft,
    SaleTotalNegative,
    price_line,
    require_plan,
    totals_of,
)
from write_model.values.identifiers import PartyId, ProductId, SaleId
from write_model.values.limits import Code


@command(
    "sales.draft_sale",
    on=Sale,
    needs="new",
    route="/sales",
    permission="sales.write",
    target="sale_id",
    resource="sale",
    reversed_by="sales.cancel_sale",
)
class DraftSale(Command):
    """Write a sale down. The payment plan may wait; when given it must add up to the total."""

    sale_id: SaleId
    customer_id: PartyId
    lines: tuple[RequestedLine, ...] = ()
    payment_plan: tuple[PlannedInstalment, ...] = ()
    external_ref: Code | None = None

    async def decide(self, streams: Streams) -> None:
        """Record SaleDrafted; refuse for blocked customers, discontinued products, unequal plans."""
        customer = await streams.existing(Party, self.customer_id)
        if customer.status == "blocked":
            raise PartyIsBlocked
        lines = await price_lines(streams, self.lines)
        totals = totals_of(lines)
        check_sale(lines, self.payment_plan)
        if self.external_ref is not None:
            await claim(streams, "sales.external_ref", self.external_ref, self.sale_id)
        fact = SaleDrafted(
            sale_id=self.sale_id,
            customer_id=self.customer_id,
            lines=lines,
            totals=totals,
            payment_plan=self.payment_plan,
            external_ref=self.external_ref,
        )
        streams.record(Sale, self.sale_id, [fact])


@command(
    "sales.change_sale_lines",
    on=Sale,
    route="/sales/{sale_id}/change-lines",
    permission="sales.write",
    target="sale_id",
    resource="sale",
)
class ChangeSaleLines(Command):
    """Replace the lines and the payment plan of a draft."""

    sale_id: SaleId
    lines: tuple[RequestedLine, ...]
    payment_plan: tuple[PlannedInstalment, ...] = ()

    async def decide(self, streams: Streams) -> None:
        """Record SaleLinesChanged; refuse with SaleNotDraft."""
        sale = await streams.load(Sale, self.sale_id)
        if sale.status != "draft":
            raise SaleNotDraft(status=sale.status)
        lines = await price_lines(streams, self.lines)
        check_sale(lines, self.payment_plan)
        fact = SaleLinesChanged(
            sale_id=self.sale_id, lines=lines, totals=totals_of(lines), payment_plan=self.payment_plan
        )
        streams.record(Sale, self.sale_id, [fact])


async def price_lines(streams: Streams, asked: Sequence[RequestedLine]) -> tuple[SaleLine, ...]:
    """Price every line; products must exist and not be discontinued."""
    if len(asked) > LINES_MAX:
        raise Invalid("too-many-lines", "A sale has at most 1000 lines.", {"field": "lines"})
    ids = list(dict.fromkeys(line.product_id for line in asked if line.product_id is not None))
    products = dict(zip(ids, await existing_products(streams, ids), strict=True))
    lines = []
    for number, line in enumerate(asked, start=1):
        product = None if line.product_id is None else products[line.product_id]
        lines.append(price_line(number, line, product.price if product else None))
    return tuple(lines)


async def existing_products(streams: Streams, ids: Sequence[ProductId]) -> list[Product]:
    """The products of these ids; refuses with NotFound or ProductIsDiscontinued."""
    products = await streams.existing_all(Product, ids)
    for product in products:
        if product.status == "discontinued":
            raise ProductIsDiscontinued(sku=product.sku)
    return products


def check_sale(lines: Sequence[SaleLine], plan: Sequence[PlannedInstalment]) -> None:
    """Refuse a negative total and a plan, if any, that does not add up to it."""
    total = totals_of(lines).total
    if total.is_negative:
        raise SaleTotalNegative(total=total)
    if len(plan) > INSTALMENTS_MAX:
        raise Invalid("invalid-instalments", "A plan has 1 to 360 instalments.", {"field": "payment_plan"})
    if plan:
        require_plan(plan, total)
