"""A product or service the company sells."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, assert_never

from write_model.catalog.events import PriceRevised, ProductClassified, ProductDiscontinued, ProductRegistered
from write_model.message import Command, Event, State, StateConflict, command
from write_model.values.identifiers import ProductId
from write_model.values.limits import Name
from write_model.values.quantity import UnitPrice

Facts = ProductRegistered | PriceRevised | ProductClassified | ProductDiscontinued


class Product(State):
    """Its price, its category, whether stock is kept of it, and whether it may be sold."""

    __slots__ = ("category", "price", "sku", "status", "stock_controlled")
    kind: ClassVar[str] = "catalog.product"

    def __init__(self) -> None:
        self.sku = ""
        self.price: UnitPrice | None = None
        self.category: str | None = None
        self.stock_controlled = False
        self.status = "unknown"

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case ProductRegistered():
                self.sku, self.price, self.category = fact.sku, fact.price, fact.category
                self.stock_controlled = fact.stock_controlled
                self.status = "active"
            case PriceRevised():
                self.price = fact.price
            case ProductClassified():
                self.category = fact.category
            case ProductDiscontinued():
                self.status = "discontinued"
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """Status and list price."""
        return {"status": self.status, "price": None if self.price is None else str(self.price)}


class ProductIsDiscontinued(StateConflict):
    """This product is discontinued."""

    pt = "Este produto foi descontinuado"


@command(
    "catalog.revise_price",
    on=Product,
    route="/products/{product_id}/revise-price",
    permission="catalog.price",
    target="product_id",
    resource="product",
)
class RevisePrice(Command):
    """Change the list price of a product."""

    product_id: ProductId
    price: UnitPrice

    def decide(self, product: Product) -> Iterator[Event]:
        """Yield PriceRevised unless it is the price already."""
        if product.status == "discontinued":
            raise ProductIsDiscontinued
        if self.price != product.price:
            yield PriceRevised(product_id=self.product_id, price=self.price)


@command(
    "catalog.classify_product",
    on=Product,
    route="/products/{product_id}/classify",
    permission="catalog.write",
    target="product_id",
    resource="product",
)
class ClassifyProduct(Command):
    """Put a product into a category."""

    product_id: ProductId
    category: Name

    def decide(self, product: Product) -> Iterator[Event]:
        """Yield ProductClassified unless it is there already."""
        if self.category != product.category:
            yield ProductClassified(product_id=self.product_id, category=self.category)


@command(
    "catalog.discontinue_product",
    on=Product,
    route="/products/{product_id}/discontinue",
    permission="catalog.write",
    target="product_id",
    resource="product",
)
class DiscontinueProduct(Command):
    """Stop selling a product."""

    product_id: ProductId

    def decide(self, product: Product) -> Iterator[Event]:
        """Yield ProductDiscontinued; refuse with ProductIsDiscontinued."""
        if product.status == "discontinued":
            raise ProductIsDiscontinued
        yield ProductDiscontinued(product_id=self.product_id)
