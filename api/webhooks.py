"""Questions about webhooks."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from api.filters import WebhookKey, found
from api.queries import Paging, Reading, paging, reads
from api.representation import page_of, shape_of, shown, shown_page
from api.timeline import HISTORY, history
from read_model.webhooks.endpoints import WebhookRow, webhook, webhooks

router = APIRouter(prefix="/v1", tags=["webhooks"])

_PERMISSION = "webhooks.read"

Webhooks = Annotated[Reading, reads("webhooks_endpoints", permission=_PERMISSION)]
Trail = Annotated[Reading, reads("audit_events", permission=_PERMISSION)]
Pages = Annotated[Paging, Depends(paging)]


@router.get("/webhooks", response_model=page_of(WebhookRow))
async def list_webhooks(reading: Webhooks, paging: Pages) -> Any:
    """The webhooks in the order they were registered; never their secrets."""
    rows = await webhooks(reading.connection, reading.company_id, after=paging.after, limit=paging.limit + 1)
    return shown_page(paging.page(reading, rows, key=lambda row: (row.id,)))


@router.get("/webhooks/{webhook_id}", response_model=shape_of(WebhookRow))
async def show_webhook(reading: Webhooks, webhook_id: WebhookKey, response: Response) -> Any:
    """One webhook."""
    row = found(await webhook(reading.connection, reading.company_id, webhook_id))
    response.headers["ETag"] = f'"{row.version}"'
    return shown(row)


@router.get("/webhooks/{webhook_id}/history", response_model=HISTORY)
async def webhook_history(reading: Trail, paging: Pages, webhook_id: WebhookKey) -> Any:
    """What happened with a webhook."""
    return await history(reading, paging, webhook_id)
