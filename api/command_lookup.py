"""What became of a command, accepted or refused: for whoever asked for it, and for auditors."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from api.accepts import require_format
from api.answers import JsonAnswer, answer_body
from api.auth import Caller, require
from api.command_descriptions import problem_responses
from api.door_routes import DoorRoute
from api.permissions import EVERYONE
from api.problems import Problem
from api.services import Services, services_of
from write_model.dispatch.outcome import receipt_of
from write_model.message import COMMANDS
from write_model.store.append import CommandRecord
from write_model.values.identifiers import decode, encode
from write_model.values.invalid import Invalid

OTHERS_COMMANDS = "audit.read"
"""Who may see what others asked for."""

_AS_COMPANY = text("SELECT set_config('ccontrol.company', :company_id, true)")
_REFUSAL = text(
    "SELECT command_id, topic, target, code, params, actor_id, channel, refused_at FROM ccontrol.refusals"
    " WHERE partition = :partition AND company_id = :company_id AND command_id = :command_id"
    " ORDER BY refused_at DESC LIMIT 1"
)


class CommandLookup:
    """The endpoint of one command that was handed in."""

    permission = EVERYONE

    async def __call__(self, request: Request) -> Response:
        """Its outcome, wherever it is kept."""
        caller = await require(request, EVERYONE)
        require_format(request)
        try:
            command_id = decode("cmd", request.path_params["command_id"])
        except Invalid:
            raise Problem("not-found") from None
        services = services_of(request)
        record = await services.store.command_record(caller.company_id, command_id)
        found = _accepted(record) if record else await _refused(services, caller, command_id)
        if found is None or not _may_see(caller, found.pop("actor_id")):
            raise Problem("not-found")
        return JsonAnswer(found)


def _may_see(caller: Caller, actor_id: UUID) -> bool:
    return actor_id == caller.user_id or caller.may(OTHERS_COMMANDS)


def _accepted(record: CommandRecord) -> dict[str, Any]:
    receipt = receipt_of(record, replayed=True)
    meta = COMMANDS[record.topic]
    reversal = COMMANDS[meta.reversed_by] if meta.reversed_by else None
    target = receipt.target if reversal is not None and reversal.target == meta.target else None
    return {
        **answer_body(receipt, target),
        "topic": record.topic,
        "outcome": "recorded" if receipt.events else "unchanged",
        "actor": encode("usr", record.actor_id),
        "recorded_at": _moment(record.recorded_at),
        "actor_id": record.actor_id,
    }


async def _refused(services: Services, caller: Caller, command_id: UUID) -> dict[str, Any] | None:
    partition = services.store.partition_of(caller.company_id)
    async with services.engine.begin() as connection:
        await connection.execute(_AS_COMPANY, {"company_id": str(caller.company_id)})
        rows = await connection.execute(
            _REFUSAL,
            {"partition": partition, "company_id": caller.company_id, "command_id": command_id},
        )
        row = rows.one_or_none()
    if row is None:
        return None
    return {
        "command_id": encode("cmd", row.command_id),
        "topic": row.topic,
        "outcome": "refused",
        "code": row.code,
        "params": row.params,
        "actor": encode("usr", row.actor_id),
        "recorded_at": _moment(row.refused_at),
        "events": [],
        "actor_id": row.actor_id,
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


router = APIRouter(route_class=DoorRoute, tags=["commands"])
router.add_api_route(
    "/v1/commands/{command_id}",
    CommandLookup(),
    methods=["GET"],
    operation_id="commands.lookup",
    summary="What became of a command.",
    response_model=None,
    responses=problem_responses(400, 401, 403, 404, 406, 500, 503),
    openapi_extra={
        "parameters": [
            {
                "name": "command_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": "^cmd_[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
            }
        ]
    },
)
