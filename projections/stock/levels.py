"""Folds movements of stock into levels: each movement says what was there after it."""

from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.stock.levels import TABLE
from write_model.message import Recorded
from write_model.stock.events import StockIssued, StockReceived, StockReturned


class StockLevels(SqlProjection):
    """One row per product and warehouse."""

    name = "stock_levels"
    version = 1
    tables = (TABLE,)

    @on(StockReceived, StockIssued, StockReturned)
    def moved(
        self, batch: Batch, recorded: Recorded, fact: StockReceived | StockIssued | StockReturned
    ) -> None:
        batch.put(
            TABLE,
            {
                "product_id": fact.product_id,
                "warehouse_id": fact.warehouse_id,
                "on_hand": fact.on_hand_after.value,
                "value_minor": fact.value_after.minor,
                "currency": fact.value_after.currency,
                "moved_on": recorded.effective_date,
                "version": recorded.version,
            },
        )
