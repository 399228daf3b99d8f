"""Facts about stock. Values are frozen at the moment they were decided: a later cost never rewrites them."""

from typing import Literal
from uuid import UUID

from write_model.message import Event, event
from write_model.values.identifiers import ProductId, WarehouseId
from write_model.values.money import Money
from write_model.values.quantity import Quantity


@event(
    "stock.stock_received",
    pt="Entrada de {quantity} no estoque ({value})",
    en="{quantity} received ({value})",
)
class StockReceived(Event):
    """Goods came in at a cost. `origin` is `opening` for the first inventory, else `receipt`."""

    warehouse_id: WarehouseId
    product_id: ProductId
    quantity: Quantity
    value: Money
    origin: Literal["opening", "receipt"]
    on_hand_after: Quantity
    value_after: Money


@event("stock.stock_issued", pt="Saída de {quantity} do estoque ({value})", en="{quantity} issued ({value})")
class StockIssued(Event):
    """Goods went out at moving-average cost."""

    warehouse_id: WarehouseId
    product_id: ProductId
    quantity: Quantity
    value: Money
    document_kind: str
    document_id: UUID
    on_hand_after: Quantity
    value_after: Money


@event(
    "stock.stock_returned",
    pt="Devolução de {quantity} ao estoque ({value})",
    en="{quantity} returned ({value})",
)
class StockReturned(Event):
    """Goods of a document came back at the cost they were issued at."""

    warehouse_id: WarehouseId
    product_id: ProductId
    quantity: Quantity
    value: Money
    document_kind: str
    document_id: UUID
    on_hand_after: Quantity
    value_after: Money
