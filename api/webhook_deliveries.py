"""What was told to webhooks, and telling it once more."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from api.accepts import require_format
from api.auth import require
from api.command_descriptions import shortcut_description
from api.command_doors import forms
from api.desk import Handed, hand_in
from api.door_routes import DoorRoute
from api.envelope import envelope_of
from api.filters import EventKey, Text, WebhookDeliveryKey, WebhookKey, choices, found
from api.problems import Problem
from api.queries import Paging, Reading, paging, reads
from api.representation import page_of, shape_of, shown, shown_page
from api.services import services_of
from api.strict_json import read_body
from read_model.database import reading as snapshot
from read_model.webhooks.deliveries import (
    STATES,
    DeliveryLog,
    DeliveryRow,
    webhook_deliveries,
    webhook_delivery,
)
from write_model.values.identifiers import decode, encode
from write_model.values.invalid import Invalid

router = APIRouter(prefix="/v1", tags=["webhooks"])

_PERMISSION = "webhooks.read"
_COMMAND = "webhooks.redeliver"

Deliveries = Annotated[Reading, reads(permission=_PERMISSION)]
Pages = Annotated[Paging, Depends(paging)]


@router.get("/webhook-deliveries", response_model=page_of(DeliveryRow))
async def list_webhook_deliveries(
    reading: Deliveries,
    paging: Pages,
    webhook_id: WebhookKey | None = None,
    event_id: EventKey | None = None,
    topic: Text | None = None,
    status: str | None = None,
) -> Any:
    """What was told, or is to be, the newest first; `status` is one or several with commas between them."""
    rows = await webhook_deliveries(
        reading.connection,
        reading.company_id,
        webhook_id=webhook_id,
        event_id=event_id,
        topic=topic,
        states=choices("status", status, STATES),
        after=paging.after,
        limit=paging.limit + 1,
    )
    return shown_page(paging.page(reading, rows, key=lambda row: (row.created_at, row.id)))


@router.get("/webhook-deliveries/{delivery_id}", response_model=shape_of(DeliveryLog))
async def show_webhook_delivery(reading: Deliveries, delivery_id: WebhookDeliveryKey) -> Any:
    """One delivery with every try."""
    return shown(found(await webhook_delivery(reading.connection, reading.company_id, delivery_id)))


class RedeliverDoor:
    """`webhooks.redeliver` by the delivery: which webhook it is of is looked up."""

    permission = "webhooks.write"

    async def __call__(self, request: Request) -> Response:
        """Find it, then as the command's own route would."""
        caller = await require(request, self.permission)
        require_format(request)
        envelope = envelope_of(request)
        if await read_body(request) != {}:
            raise Problem("malformed-body")
        text = request.path_params["delivery_id"]
        try:
            delivery_id = decode("whd", text)
        except Invalid:
            raise Problem("not-found") from None
        async with snapshot(services_of(request).engine, caller.company_id) as connection:
            known = found(await webhook_delivery(connection, caller.company_id, delivery_id))
        webhook = encode("whk", known.delivery.webhook_id)
        handed = Handed(form=forms()[_COMMAND], body={"delivery_id": text}, target=webhook)
        return await hand_in(request, caller, handed, envelope)


router.routes.append(
    DoorRoute(
        "/v1/webhook-deliveries/{delivery_id}/redeliver",
        RedeliverDoor(),
        methods=["POST"],
        name="redeliver_webhook_delivery",
        response_model=None,
        **shortcut_description(
            forms()[_COMMAND],
            target="delivery_id",
            schema={"type": "string", "pattern": "^whd_[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
        ),
    )
)
