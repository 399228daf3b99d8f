"""Questions about stock."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from api.filters import ProductKey, WarehouseKey
from api.queries import Paging, Reading, paging, reads
from api.representation import page_of, shown_page
from read_model.stock.levels import StockLevelRow, stock_levels

router = APIRouter(prefix="/v1", tags=["stock"])

Stock = Annotated[Reading, reads("stock_levels", "catalog_products", permission="stock.read")]


@router.get("/stock/levels", response_model=page_of(StockLevelRow))
async def list_stock_levels(
    reading: Stock,
    paging: Annotated[Paging, Depends(paging)],
    product_id: ProductKey | None = None,
    warehouse_id: WarehouseKey | None = None,
) -> Any:
    """What is on hand of each product in each warehouse, and what it is worth."""
    rows = await stock_levels(
        reading.connection,
        reading.company_id,
        product_id=product_id,
        warehouse_id=warehouse_id,
        after=paging.after,
        limit=paging.limit + 1,
    )
    return shown_page(paging.page(reading, rows, key=lambda row: (row.product_id, row.warehouse_id)))
