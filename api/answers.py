"""What a command is answered with: the receipt as JSON, its links and its headers."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_type_hints
from uuid import UUID

import msgspec
from starlette.responses import Response

from api.freshness import token
from api.services import Services
from write_model.dispatch import Receipt
from write_model.message import COMMANDS, CommandType, stream_id_of
from write_model.values.identifiers import PREFIXES, encode

_encode_json = msgspec.json.Encoder().encode


class JsonAnswer(Response):
    """Bytes of JSON."""

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(_encode_json(content), status, headers, "application/json")


def collection_of(meta: CommandType) -> str:
    """The path of the things a command acts on: `/v1/sales` for `/sales/{sale_id}/confirm`."""
    return "/v1" + meta.route.partition("/{")[0]


def status_of(receipt: Receipt) -> int:
    """201 when a collection got something new, 200 otherwise. A replayed answer has the same status."""
    is_creation = "{" not in COMMANDS[receipt.topic].route and bool(receipt.events)
    return 201 if is_creation and not receipt.dry_run else 200


def target_text(meta: CommandType, target: UUID | str) -> str:
    """A target as clients see it."""
    prefix = _prefix(meta.topic)
    return encode(prefix, target) if prefix and isinstance(target, UUID) else str(target)


def answer_body(receipt: Receipt, reverse_target: UUID | str | None) -> dict[str, Any]:
    """The body; a rehearsal names no new ids, as there are none."""
    meta = COMMANDS[receipt.topic]
    rehearsed = receipt.dry_run
    target = None if rehearsed and meta.needs == "new" else target_text(meta, receipt.target)
    body: dict[str, Any] = {
        "command_id": None if rehearsed else encode("cmd", receipt.command_id),
        "resource": {
            "type": receipt.resource,
            "id": target,
            "version": receipt.version,
            "url": None if target is None else f"{collection_of(meta)}/{target}",
        },
        "events": [
            {
                "id": None if rehearsed else encode("evt", event.event_id),
                "type": event.topic,
                "schema_version": event.schema_version,
                "position": event.position,
                "summary": event.sentence,
            }
            for event in receipt.events
        ],
        "state": receipt.state,
        "warnings": [],
    }
    if meta.reversed_by is not None and reverse_target is not None:
        reversal = COMMANDS[meta.reversed_by]
        path = reversal.route.replace(f"{{{reversal.target}}}", target_text(reversal, reverse_target))
        body["reverse"] = {"method": "POST", "href": f"/v1{path}"}
    if rehearsed:
        body["dry_run"] = True
    return body


def answer_headers(
    receipt: Receipt, body: Mapping[str, Any], company_id: UUID, services: Services
) -> dict[str, str]:
    """Version, place, and the token that makes queries wait for what was just done."""
    headers = {"ETag": f'"{receipt.version}"'}
    if receipt.dry_run:
        return headers
    position = receipt.last_position or 0
    headers["Consistency-Token"] = token(services.store.epoch, position, company_id, services.door_secret)
    headers["Location"] = body["resource"]["url"]
    if receipt.replayed:
        headers["Idempotency-Replayed"] = "true"
    return headers


async def reverse_target(
    receipt: Receipt, stream_key: UUID | str, company_id: UUID, services: Services
) -> UUID | str | None:
    """What the reversing command would act on; None when there is nothing to reverse."""
    meta = COMMANDS[receipt.topic]
    if meta.reversed_by is None or not receipt.events or receipt.dry_run:
        return None
    wanted = COMMANDS[meta.reversed_by].target
    if wanted == meta.target:
        return receipt.target
    # A settlement is reversed by its own id, which the command made: the event knows it.
    stream = stream_id_of(company_id, meta.on.kind, stream_key)
    recorded = await services.store.read_streams(company_id, [stream])
    first, last = receipt.first_position or 0, receipt.last_position or 0
    facts = [item.event for item in recorded[stream] if first <= item.position <= last]
    return next((getattr(fact, wanted) for fact in facts if hasattr(fact, wanted)), None)


@lru_cache(maxsize=1_000)
def _prefix(topic: str) -> str | None:
    """The prefix of a command's target; None for codes and periods, which are their own text."""
    meta = COMMANDS[topic]
    return PREFIXES.get(get_type_hints(meta.command)[meta.target])
