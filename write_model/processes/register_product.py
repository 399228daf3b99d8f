"""Register a product: the product and the claim on its SKU, together."""

from write_model.catalog.events import ProductRegistered
from write_model.catalog.product import Product
from write_model.claims.claim import claim
from write_model.message import Command, Streams, command
from write_model.values.identifiers import ProductId
from write_model.values.limits import Code, Name
from write_model.values.quantity import UnitPrice


@command(
    "catalog.register_product",
    on=Product,
    needs="new",
    route="/products",
    permission="catalog.write",
    target="product_id",
    resource="product",
)
class RegisterProduct(Command):
    """Register a product or service. Stock is kept only of stock-controlled products."""

    product_id: ProductId
    sku: Code
    name: Name
    unit: Code = "UN"
    price: UnitPrice | None = None
    stock_controlled: bool = True
    category: Name | None = None
    external_ref: Code | None = None

    async def decide(self, streams: Streams) -> None:
        """Record ProductRegistered and its claims; refuse with AlreadyClaimed."""
        await claim(streams, "catalog.sku", self.sku, self.product_id)
        if self.external_ref is not None:
            await claim(streams, "catalog.external_ref", self.external_ref, self.product_id)
        fact = ProductRegistered(
            product_id=self.product_id,
            sku=self.sku,
            name=self.name,
            unit=self.unit,
            price=self.price,
            stock_controlled=self.stock_controlled,
            category=self.category,
            external_ref=self.external_ref,
        )
        streams.record(Product, self.product_id, [fact])
