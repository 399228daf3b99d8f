"""The question people ask all day."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from api.queries import Reading, reads
from api.representation import shape_of, shown
from api.shapes import AsOf
from read_model.sales.dashboard import Dashboard, dashboard, figures, figures_cached

router = APIRouter(prefix="/v1", tags=["reports"])


@router.get("/dashboard", response_model=shape_of(Dashboard, as_of=AsOf))
async def show_dashboard(
    reading: Annotated[Reading, Depends(reads("sales_dashboard", permission="reports.read"))],
) -> Any:
    """Sales by day, month and payment method, what customers owe, and what was received."""
    found = None
    if reading.cache is not None:
        found = await figures_cached(
            reading.cache,
            reading.partition,
            reading.company_id,
            reading.today,
            at_least=reading.as_of.position,
        )
    if found is None:
        found = await figures(reading.connection, reading.company_id, reading.today)
    return shown(dashboard(found, reading.today), as_of=reading.as_of)
