"""Receive stock: the stock item and its journal entry, together."""

from typing import Literal
from uuid import UUID, uuid5

from write_model.catalog.product import Product, ProductIsDiscontinued
from write_model.message import Command, RuleBroken, Streams, command
from write_model.processes.books import open_draft, post_draft
from write_model.stock.stock_item import StockItem, main_warehouse, receive, stock_key
from write_model.values.identifiers import ProductId, WarehouseId
from write_model.values.limits import require_positive
from write_model.values.money import Money
from write_model.values.quantity import Quantity, UnitPrice


class ProductNotStockControlled(RuleBroken):
    """No stock is kept of this product."""

    pt = "Este produto não controla estoque"


@command(
    "stock.receive_stock",
    on=Product,
    route="/products/{product_id}/receive-stock",
    permission="stock.write",
    target="product_id",
    resource="product",
)
class ReceiveStock(Command):
    """Take goods into a warehouse at their unit cost.

    `opening` is the inventory the books begin with, against opening balances; a `receipt` waits for the
    supplier's invoice. Without a warehouse, the company's main one.
    """

    product_id: ProductId
    quantity: Quantity
    unit_cost: UnitPrice
    origin: Literal["opening", "receipt"] = "receipt"
    warehouse_id: WarehouseId | None = None

    async def decide(self, streams: Streams) -> None:
        """Record StockReceived and its entry; refuse with ProductNotStockControlled, PeriodClosed."""
        product = await streams.load(Product, self.product_id)
        if product.status == "discontinued":
            raise ProductIsDiscontinued
        if not product.stock_controlled:
            raise ProductNotStockControlled
        require_positive(self.quantity, "quantity")
        draft = await open_draft(streams)
        warehouse_id = self.warehouse_id or main_warehouse(streams.context.company_id)
        key = stock_key(warehouse_id, self.product_id)
        value = Money.of_product(self.unit_cost, self.quantity)
        item = await streams.load(StockItem, key)
        streams.record(
            StockItem,
            key,
            receive(
                item,
                warehouse_id=warehouse_id,
                product_id=self.product_id,
                quantity=self.quantity,
                value=value,
                origin=self.origin,
            ),
        )
        draft.debit("inventory", value)
        against = "opening_balances" if self.origin == "opening" else "goods_received_not_invoiced"
        draft.credit(against, value)
        await post_draft(
            streams,
            draft,
            rule=f"stock_{self.origin}",
            document_kind="stock_receipt",
            document_id=_receipt_id(streams.context.command_id),
            memo=f"Entrada de estoque {product.sku}",
        )


def _receipt_id(command_id: UUID) -> UUID:
    """A receipt has no document of its own: the command that asked for it is it."""
    return uuid5(command_id, "stock.receipt")
