"""The stock of one product in one warehouse, at moving-average cost.

Cost follows the recorded order: average = value ÷ quantity after each receipt, an issue's cost is frozen
when it is decided, and what is left when the quantity reaches zero leaves with the last piece.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, assert_never
from uuid import UUID, uuid5

from write_model.message import Event, RuleBroken, State
from write_model.stock.events import StockIssued, StockReceived, StockReturned
from write_model.values.identifiers import CompanyId, ProductId, WarehouseId
from write_model.values.limits import require_not_negative, require_positive
from write_model.values.money import Money
from write_model.values.quantity import Quantity

Facts = StockReceived | StockIssued | StockReturned


def main_warehouse(company_id: UUID) -> WarehouseId:
    """The warehouse of a company that has only one."""
    return WarehouseId(uuid5(CompanyId(company_id), "stock.warehouse/main"))


def stock_key(warehouse_id: WarehouseId, product_id: ProductId) -> str:
    """The key of the stream of one product in one warehouse."""
    return f"{warehouse_id}/{product_id}"


class StockItem(State):
    """What lies there and what it is worth."""

    __slots__ = ("on_hand", "value")
    kind: ClassVar[str] = "stock.item"
    snapshot_version: ClassVar[int] = 1
    on_hand: Quantity
    value: Money

    def __init__(self) -> None:
        self.on_hand = Quantity.zero()
        self.value = Money.zero()

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case StockReceived() | StockIssued() | StockReturned():
                self.on_hand, self.value = fact.on_hand_after, fact.value_after
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """Quantity on hand and its value."""
        return {"on_hand": str(self.on_hand), "value": self.value}


class InsufficientStock(RuleBroken):
    """There is not enough of this product in stock."""

    pt = "Não há quantidade suficiente deste produto em estoque"


def receive(
    item: StockItem,
    *,
    warehouse_id: WarehouseId,
    product_id: ProductId,
    quantity: Quantity,
    value: Money,
    origin: Literal["opening", "receipt"],
) -> Iterator[Event]:
    """Take goods in at their cost; yields StockReceived."""
    require_positive(quantity, "quantity")
    require_not_negative(value, "value")
    yield StockReceived(
        warehouse_id=warehouse_id,
        product_id=product_id,
        quantity=quantity,
        value=value,
        origin=origin,
        on_hand_after=item.on_hand + quantity,
        value_after=item.value + value,
    )


def issue_value(item: StockItem, quantity: Quantity) -> Money:
    """What `quantity` costs now; everything, when nothing is left behind."""
    return item.value if quantity == item.on_hand else item.value.share(quantity, item.on_hand)


def issue(
    item: StockItem,
    *,
    warehouse_id: WarehouseId,
    product_id: ProductId,
    quantity: Quantity,
    document_kind: str,
    document_id: UUID,
) -> Iterator[StockIssued]:
    """Take goods out at moving-average cost; refuses with InsufficientStock."""
    require_positive(quantity, "quantity")
    if item.on_hand < quantity:
        raise InsufficientStock(on_hand=item.on_hand, wanted=quantity)
    value = issue_value(item, quantity)
    yield StockIssued(
        warehouse_id=warehouse_id,
        product_id=product_id,
        quantity=quantity,
        value=value,
        document_kind=document_kind,
        document_id=document_id,
        on_hand_after=item.on_hand - quantity,
        value_after=item.value - value,
    )


def give_back(
    item: StockItem,
    *,
    warehouse_id: WarehouseId,
    product_id: ProductId,
    quantity: Quantity,
    value: Money,
    document_kind: str,
    document_id: UUID,
) -> Iterator[Event]:
    """Put back what a document took out, at the cost it left with; yields StockReturned."""
    yield StockReturned(
        warehouse_id=warehouse_id,
        product_id=product_id,
        quantity=quantity,
        value=value,
        document_kind=document_kind,
        document_id=document_id,
        on_hand_after=item.on_hand + quantity,
        value_after=item.value + value,
    )
