"""What every peer records: goods received, a real event of this product, made beforehand.

Each peer encodes it in its own way while it is measured; what has no codec of its own gets the text ready.
"""

from random import getrandbits
from uuid import UUID

from write_model.stock.events import StockReceived
from write_model.store import topics
from write_model.values.identifiers import ProductId, WarehouseId
from write_model.values.money import Money
from write_model.values.quantity import Quantity

TOPIC = StockReceived.topic
COMPANY = UUID("00000000-0000-4000-8000-000000000001")
ACTOR = UUID("00000000-0000-4000-8000-00000000000a")
FIELDS = ("warehouse_id", "product_id", "quantity", "value_minor", "on_hand_after", "value_after_minor")


def new_id() -> UUID:
    """Good enough to tell things apart, and so cheap that the measurement is not one of random numbers."""
    return UUID(int=getrandbits(128))


def received(number: int) -> StockReceived:
    """The `number`th receipt of one product: one piece at 10.50 each time."""
    return StockReceived(
        warehouse_id=WarehouseId(new_id()),
        product_id=ProductId(new_id()),
        quantity=Quantity(1),
        value=Money(1050),
        origin="receipt",
        on_hand_after=Quantity(number),
        value_after=Money(1050 * number),
    )


FACTS = tuple(received(number) for number in range(1, 1001))
TEXTS = tuple(topics.encode(fact) for fact in FACTS)
