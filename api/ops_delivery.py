"""What did not arrive outside, and what is to be done about it.

Dead letters are those of the company one works in. How far the relay is and who consumes is about the whole
installation, so only operators of the company that runs it see that.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from api.accepts import require_format
from api.answers import JsonAnswer
from api.auth import Caller, require
from api.command_descriptions import problem_responses
from api.door_routes import DoorRoute
from api.field_errors import problem_of_validation
from api.filters import Text, found
from api.operations import Reason, require_home
from api.problems import Problem
from api.queries import Paging, Reading, paging, reads
from api.representation import page_of, shape_of, shown, shown_page
from api.services import Services, services_of
from api.strict_json import read_body
from api.wire import STRICT
from read_model.deliveries.dead_letters import LetterRow, dead_letter, dead_letters
from write_model.values.identifiers import encode

LOOK = "ops.read"
OPERATE = "ops.operate"
_LETTER = "/v1/ops/dead-letters/{queue}/{message_id}"

_DECIDE = text("SELECT integration.decide(:queue, :message_id, :state, :actor, :reason)")
_COMPANY = text("SELECT set_config('ccontrol.company', :company, true)")
_OUTBOX = text("""
SELECT partition, position, head, oldest_seconds, published, failed, error FROM integration.outbox()
""")
_CONSUMERS = text("""
SELECT queue, owner, started_at, seen_at, handled, retried, buried,
        seen_at > clock_timestamp() - interval '10 s'
    FROM integration.consumers ORDER BY queue, owner
""")
_SIGNED = text("SELECT heads, oldest_seconds FROM integration.signed_heads_waiting()")

# As in `Text`, but in the path.
Name = Annotated[str, Path(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
Looking = Annotated[Reading, reads(permission=LOOK)]

looks = APIRouter(prefix="/v1/ops", tags=["operations"])


@looks.get("/dead-letters", response_model=page_of(LetterRow))
async def list_dead_letters(
    reading: Looking,
    paging: Annotated[Paging, Depends(paging)],
    queue: Text | None = None,
    state: Literal["dead", "retrying", "retried", "discarded"] | None = None,
) -> Any:
    """What could not be dealt with; unless a state is asked for, what waits for a decision."""
    after = None if paging.after is None else (str(paging.after[0]), str(paging.after[1]))
    rows = await dead_letters(
        reading.connection, queue=queue, state=state, after=after, limit=paging.limit + 1
    )
    return shown_page(paging.page(reading, rows, key=lambda row: (row.queue, row.message_id)))


@looks.get("/dead-letters/{queue}/{message_id}", response_model=shape_of(LetterRow))
async def show_dead_letter(reading: Looking, queue: Name, message_id: Name) -> Any:
    """One of them."""
    return shown(found(await dead_letter(reading.connection, queue, message_id)))


# --- deciding -----------------------------------------------------------------------------------------


class Retry(BaseModel):
    """Why; need not be said."""

    model_config = STRICT

    reason: Reason | None = None


class Discard(BaseModel):
    """Why; it is kept."""

    model_config = STRICT

    reason: Reason


class _Decision:
    """`state` is what the letter is then in, `body` what the decision is asked with."""

    permission = OPERATE

    def __init__(self, state: str, body: type[Retry] | type[Discard], summary: str) -> None:
        self.state = state
        self.body = body
        self.summary = summary

    async def __call__(self, request: Request) -> Response:
        """Decide, once: who comes second is told what was decided."""
        caller = await require(request, OPERATE)
        require_format(request)
        try:
            given = self.body.model_validate(await read_body(request))
        except ValidationError as error:
            raise problem_of_validation(error) from None
        queue, message_id = request.path_params["queue"], request.path_params["message_id"]
        if not (queue.isprintable() and message_id.isprintable()):
            raise Problem("not-found")
        async with _as_company(services_of(request), caller) as connection:
            wanted = {"queue": queue, "message_id": message_id, "state": self.state, "reason": given.reason}
            actor = encode("usr", caller.user_id)
            decided = (await connection.execute(_DECIDE, {**wanted, "actor": actor})).scalar_one()
            letter = found(await dead_letter(connection, queue, message_id))
        # Asking for what was asked for already is the same answer again.
        if not decided and letter.state != self.state:
            raise Problem("already-decided", params={"state": letter.state})
        return JsonAnswer(shape_of(LetterRow).model_construct(**shown(letter)).model_dump(mode="json"))


_DECISIONS = {
    "retry": _Decision("retrying", Retry, "Put it back into its queue, to be dealt with once more."),
    "discard": _Decision("discarded", Discard, "Let it go, for ever. Who, when and why is kept."),
}


@asynccontextmanager
async def _as_company(services: Services, caller: Caller) -> AsyncIterator[AsyncConnection]:
    """A transaction that sees the rows of the caller's company."""
    async with services.engine.begin() as connection:
        await connection.execute(_COMPANY, {"company": str(caller.company_id)})
        yield connection


# --- the installation ---------------------------------------------------------------------------------


class Outbox:
    """How far the relay is, by partition, and what keeps it; signed heads wait beside the partitions."""

    permission = LOOK

    async def __call__(self, request: Request) -> Response:
        """Counts over all companies."""
        rows = await _asked(request, _OUTBOX)
        async with services_of(request).engine.connect() as connection:
            heads, oldest_head = (await connection.execute(_SIGNED)).one()
        partitions = [
            {
                "partition": partition,
                "position": position,
                "head": head,
                "pending": head - position,
                "oldest_seconds": round(oldest, 3),
                "published": published,
                "failed": failed,
                "error": error,
            }
            for partition, position, head, oldest, published, failed, error in rows
        ]
        return JsonAnswer(
            {
                "pending": sum(each["pending"] for each in partitions) + heads,
                "oldest_seconds": max(
                    round(oldest_head, 3), *(each["oldest_seconds"] for each in partitions)
                ),
                "signed_heads_pending": heads,
                "partitions": partitions,
            }
        )


class Consumers:
    """Which processes deal with which queue, and what came of it since they started."""

    permission = LOOK

    async def __call__(self, request: Request) -> Response:
        """One line for each process and queue; one of them is active, the others stand by."""
        rows = await _asked(request, _CONSUMERS)
        return JsonAnswer(
            {
                "data": [
                    {
                        "queue": queue,
                        "owner": owner,
                        "started_at": started.isoformat(),
                        "seen_at": seen.isoformat(),
                        "handled": handled,
                        "retried": retried,
                        "buried": buried,
                        "is_alive": is_alive,
                    }
                    for queue, owner, started, seen, handled, retried, buried, is_alive in rows
                ]
            }
        )


async def _asked(request: Request, question: Any) -> list[Any]:
    caller = await require(request, LOOK)
    require_format(request)
    await require_home(request, caller, LOOK)
    async with services_of(request).engine.connect() as connection:
        return list((await connection.execute(question)).all())


# --- routes -------------------------------------------------------------------------------------------

router = APIRouter(route_class=DoorRoute, tags=["operations"])
router.routes.extend(looks.routes)
_PATH = [
    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    for name in ("queue", "message_id")
]
for _path, _endpoint in (("/v1/ops/outbox", Outbox()), ("/v1/ops/consumers", Consumers())):
    router.add_api_route(
        _path,
        _endpoint,
        methods=["GET"],
        operation_id=f"ops.{_path.rpartition('/')[2]}",
        summary=(type(_endpoint).__doc__ or "").strip(),
        response_model=None,
        responses=problem_responses(401, 403, 406),
    )
for _verb, _decision in _DECISIONS.items():
    router.add_api_route(
        f"{_LETTER}/{_verb}",
        _decision,
        methods=["POST"],
        operation_id=f"ops.dead_letter.{_verb}",
        summary=_decision.summary,
        response_model=None,
        responses=problem_responses(400, 401, 403, 404, 406, 409, 415, 422),
        openapi_extra={
            "parameters": _PATH,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _decision.body.model_json_schema()}},
            },
        },
    )
