"""Folds the facts about products into the list of them."""

from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.catalog.products import TABLE
from read_model.selection import folded
from write_model.catalog.events import PriceRevised, ProductClassified, ProductDiscontinued, ProductRegistered
from write_model.message import Recorded


class CatalogProducts(SqlProjection):
    """One row per product."""

    name = "catalog_products"
    version = 1
    tables = (TABLE,)

    @on(ProductRegistered)
    def registered(self, batch: Batch, recorded: Recorded, fact: ProductRegistered) -> None:
        batch.put(
            TABLE,
            {
                "product_id": fact.product_id,
                "sku": fact.sku,
                "name": fact.name,
                "unit": fact.unit,
                "price": None if fact.price is None else fact.price.value,
                "stock_controlled": fact.stock_controlled,
                "category": fact.category,
                "external_ref": fact.external_ref,
                "status": "active",
                "registered_on": recorded.effective_date,
                "folded": folded(fact.sku, fact.name),
                "version": recorded.version,
            },
        )

    @on(PriceRevised)
    def price_revised(self, batch: Batch, recorded: Recorded, fact: PriceRevised) -> None:
        self._patch(batch, recorded, fact, price=fact.price.value)

    @on(ProductClassified)
    def classified(self, batch: Batch, recorded: Recorded, fact: ProductClassified) -> None:
        self._patch(batch, recorded, fact, category=fact.category)

    @on(ProductDiscontinued)
    def discontinued(self, batch: Batch, recorded: Recorded, fact: ProductDiscontinued) -> None:
        self._patch(batch, recorded, fact, status="discontinued", discontinued_on=recorded.effective_date)

    def _patch(
        self,
        batch: Batch,
        recorded: Recorded,
        fact: PriceRevised | ProductClassified | ProductDiscontinued,
        **changes: object,
    ) -> None:
        changes["version"] = recorded.version
        batch.patch(TABLE, key={"product_id": fact.product_id}, set=changes)
