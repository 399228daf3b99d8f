"""The question people ask all day."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from api.cached import from_view
from api.queries import Reading, reads
from api.representation import shape_of, shown
from api.shapes import AsOf
from read_model.sales.dashboard import Dashboard, dashboard, figures, figures_cached

router = APIRouter(prefix="/v1", tags=["reports"])


@router.get("/dashboard", response_model=shape_of(Dashboard, as_of=AsOf))
async def show_dashboard(
    reading: Annotated[Reading, reads("sales_dashboard", permission="reports.read")],
    request: Request,
    response: Response,
) -> Any:
    """Sales by day, month and payment method, what customers owe, and what was received."""
    where, position = (reading.partition, reading.company_id), reading.as_of.position
    seen = await from_view(
        lambda views: figures_cached(views, *where, reading.today, at_least=position),
        reading,
        request,
        response,
    )
    if seen is None:
        found = await figures(reading.connection, reading.company_id, reading.today)
    else:
        found, reading = seen
    return shown(dashboard(found, reading.today), as_of=reading.as_of)
