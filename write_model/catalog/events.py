"""Facts about products."""

from write_model.message import Event, event
from write_model.values.identifiers import ProductId
from write_model.values.quantity import UnitPrice


@event(
    "catalog.product_registered", pt="Produto {sku} cadastrado: {name}", en="Product {sku} registered: {name}"
)
class ProductRegistered(Event):
    """A product can be sold. `stock_controlled` products are issued from stock when sold."""

    product_id: ProductId
    sku: str
    name: str
    unit: str
    price: UnitPrice | None
    stock_controlled: bool
    category: str | None
    external_ref: str | None


@event("catalog.price_revised", pt="Preço alterado para {price}", en="Price revised to {price}")
class PriceRevised(Event):
    """The list price changed."""

    product_id: ProductId
    price: UnitPrice


@event(
    "catalog.product_classified",
    pt="Produto classificado em {category}",
    en="Product classified as {category}",
)
class ProductClassified(Event):
    """The product moved to a category."""

    product_id: ProductId
    category: str


@event("catalog.product_discontinued", pt="Produto descontinuado", en="Product discontinued")
class ProductDiscontinued(Event):
    """The product can no longer be sold; it can still be returned."""

    product_id: ProductId
