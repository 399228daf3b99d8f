"""Questions about the catalogue."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response

from api.filters import ProductKey, Text, found
from api.queries import Paging, Reading, paging, reads
from api.representation import page_of, shape_of, shown, shown_page
from api.timeline import HISTORY, history
from read_model.catalog.products import ProductRow, product, products

router = APIRouter(prefix="/v1", tags=["catalog"])

Products = Annotated[Reading, reads("catalog_products", permission="catalog.read")]
Trail = Annotated[Reading, reads("audit_events", permission="catalog.read")]
Pages = Annotated[Paging, Depends(paging)]


@router.get("/products", response_model=page_of(ProductRow))
async def list_products(
    reading: Products,
    paging: Pages,
    status: Literal["active", "discontinued"] | None = None,
    category: Text | None = None,
    sku: Text | None = None,
    external_ref: Text | None = None,
    q: Text | None = None,
) -> Any:
    """The products by SKU; `q` looks for words in SKU and name."""
    rows = await products(
        reading.connection,
        reading.company_id,
        status=status,
        category=category,
        sku=sku,
        external_ref=external_ref,
        q=q,
        after=paging.after,
        limit=paging.limit + 1,
    )
    return shown_page(paging.page(reading, rows, key=lambda row: (row.sku, row.id)))


@router.get("/products/{product_id}", response_model=shape_of(ProductRow))
async def show_product(reading: Products, product_id: ProductKey, response: Response) -> Any:
    """One product."""
    row = found(await product(reading.connection, reading.company_id, product_id))
    response.headers["ETag"] = f'"{row.version}"'
    return shown(row)


@router.get("/products/{product_id}/history", response_model=HISTORY)
async def product_history(reading: Trail, paging: Pages, product_id: ProductKey) -> Any:
    """What happened to a product."""
    return await history(reading, paging, product_id)
