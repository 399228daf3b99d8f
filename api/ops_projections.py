"""Operating projections over HTTP: look, pause, resume, leave an event out, and ask for long work.

Long work (rebuild, compare, promote, rollback) is a job of the projector: 202, and `/v1/jobs/{id}` tells how
far it is.
"""

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api.accepts import require_format
from api.answers import JsonAnswer
from api.command_descriptions import problem_responses
from api.door_routes import DoorRoute
from api.field_errors import problem_of_validation
from api.operations import Act, Operations, Reason, admit_operator
from api.problems import Problem
from api.strict_json import read_body
from api.wire import STRICT
from write_model.values.identifiers import encode

LOOK = "ops.read"
OPERATE = "ops.operate"

_JOBS_SHOWN = 10


class Nothing(BaseModel):
    """No fields: the body may be empty."""

    model_config = STRICT


class Pause(BaseModel):
    """Why it is paused."""

    model_config = STRICT

    reason: Reason


class Resume(BaseModel):
    """Why it goes on; need not be said."""

    model_config = STRICT

    reason: Reason | None = None


class Skip(BaseModel):
    """The event to leave out: where the projection has stopped. `break_glass` for what keeps the books."""

    model_config = STRICT

    position: Annotated[int, Field(ge=1, lt=10**18)]
    partition: Annotated[int, Field(ge=0, lt=2**15)] | None = None
    reason: Reason
    break_glass: bool = False


class Rebuild(BaseModel):
    """How to rebuild. `promote`: `auto`, `equal` (only if nothing differs) or `never`."""

    model_config = STRICT

    promote: Literal["auto", "equal", "never"] = "auto"
    jobs: Annotated[int, Field(ge=1, le=64)] = 2
    batch: Annotated[int, Field(ge=1, le=100_000)] | None = None
    anew: bool = False
    max_commit_ms: Annotated[int, Field(ge=0, le=60_000)] = 250


class Compare(BaseModel):
    """How to compare what is served with a fresh fold."""

    model_config = STRICT

    jobs: Annotated[int, Field(ge=1, le=64)] = 2
    sample: Annotated[int, Field(ge=0, le=100_000)] = 1_000
    max_commit_ms: Annotated[int, Field(ge=0, le=60_000)] = 250


class Projections:
    """All of them."""

    permission = LOOK

    async def __call__(self, request: Request) -> Response:
        """With lag, failures, what was left out, and the jobs of late."""
        _, operations = await admit_operator(request, LOOK)
        require_format(request)
        return JsonAnswer(
            {"data": await operations.projections(), "jobs": await operations.jobs(_JOBS_SHOWN)}
        )


class OneProjection:
    """One of them."""

    permission = LOOK

    async def __call__(self, request: Request) -> Response:
        """With its own jobs."""
        _, operations = await admit_operator(request, LOOK)
        require_format(request)
        return JsonAnswer(await _shown(operations, request.path_params["name"]))


class _Act(ABC):
    """Something done to one projection."""

    permission = OPERATE
    status = 200
    body: ClassVar[type[BaseModel]] = Nothing

    async def __call__(self, request: Request) -> Response:
        """Read the body strictly, do it, answer."""
        caller, operations = await admit_operator(request, OPERATE)
        require_format(request)
        try:
            given = self.body.model_validate(await _body(request))
        except ValidationError as error:
            raise problem_of_validation(error) from None
        name, actor = request.path_params["name"], encode("usr", caller.user_id)
        if not name.isprintable():
            raise Problem("not-found")
        answer = await self.do(operations, name, given, actor)
        headers = {"Location": f"/v1/jobs/{answer['id']}"} if self.status == 202 else {}
        return JsonAnswer(answer, self.status, headers)

    @abstractmethod
    async def do(self, operations: Operations, name: str, given: Any, actor: str) -> dict[str, Any]:
        """The answer."""


class PauseIt(_Act):
    """Stop folding; what is there goes on being served, marked stale."""

    body: ClassVar[type[BaseModel]] = Pause

    async def do(self, operations: Operations, name: str, given: Pause, actor: str) -> dict[str, Any]:
        """At once."""
        await operations.pause(name, given.reason, actor)
        return await _shown(operations, name)


class ResumeIt(_Act):
    """Fold again, from the event at which it was paused or had stopped."""

    body: ClassVar[type[BaseModel]] = Resume

    async def do(self, operations: Operations, name: str, given: Resume, actor: str) -> dict[str, Any]:
        """At once."""
        await operations.resume(name, given.reason, actor)
        return await _shown(operations, name)


class SkipIt(_Act):
    """Leave out, for ever, the event at which it has stopped. Who, when and why is kept."""

    body: ClassVar[type[BaseModel]] = Skip

    async def do(self, operations: Operations, name: str, given: Skip, actor: str) -> dict[str, Any]:
        """At once."""
        await operations.skip(
            name, given.partition, given.position, given.reason, actor, break_glass=given.break_glass
        )
        return await _shown(operations, name)


class _Job(_Act):
    status = 202
    act: ClassVar[Act]

    async def do(self, operations: Operations, name: str, given: Any, actor: str) -> dict[str, Any]:
        """Only asked for here."""
        return await operations.ask(self.act, name, self.options(given), actor)

    def options(self, given: Any) -> dict[str, Any]:
        """What the workshop is told."""
        return {}


class RebuildIt(_Job):
    """Build it anew beside what is served, compare, and switch."""

    body: ClassVar[type[BaseModel]] = Rebuild
    act: ClassVar[Act] = "rebuild"

    def options(self, given: Rebuild) -> dict[str, Any]:
        """`auto` promotes what was built: it is the fold of the log, whatever was served."""
        return {
            "promote": "always" if given.promote == "auto" else given.promote,
            "jobs": given.jobs,
            "batch": given.batch,
            "anew": given.anew,
            "commit_seconds_max": given.max_commit_ms / 1000 if given.max_commit_ms else None,
        }


class CompareIt(_Job):
    """Hold what is served against a fresh fold, which is then thrown away."""

    body: ClassVar[type[BaseModel]] = Compare
    act: ClassVar[Act] = "compare"

    def options(self, given: Compare) -> dict[str, Any]:
        """The rows themselves are shown only at the database: they may be about people."""
        return {
            "jobs": given.jobs,
            "sample_rows": given.sample,
            "commit_seconds_max": given.max_commit_ms / 1000 if given.max_commit_ms else None,
        }


class PromoteIt(_Job):
    """Serve what was built without being promoted."""

    act: ClassVar[Act] = "promote"


class RollBack(_Job):
    """Serve the generation before the last switch again."""

    act: ClassVar[Act] = "rollback"


async def _body(request: Request) -> Any:
    """The JSON of the body; an empty one says nothing."""
    if not await request.body():
        return {}
    return await read_body(request)


async def _shown(operations: Operations, name: str) -> dict[str, Any]:
    found = next((each for each in await operations.projections() if each["name"] == name), None)
    if found is None:
        raise Problem("not-found")
    return found | {"jobs": await operations.jobs(_JOBS_SHOWN, name)}


_NAME: dict[str, Any] = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "example": "ledger_lines",
}
_READ_PROBLEMS = (400, 401, 403, 404, 406, 500, 503)
_ACT_PROBLEMS = (400, 401, 403, 404, 406, 409, 413, 415, 422, 500, 503)

router = APIRouter(route_class=DoorRoute, tags=["operations"])
router.add_api_route(
    "/v1/ops/projections",
    Projections(),
    methods=["GET"],
    operation_id="ops.projections",
    summary="Every projection: how far it is, and what is wrong.",
    response_model=None,
    responses=problem_responses(*_READ_PROBLEMS),
)
router.add_api_route(
    "/v1/ops/projections/{name}",
    OneProjection(),
    methods=["GET"],
    operation_id="ops.projection",
    summary="One projection, with the event it has stopped at.",
    response_model=None,
    responses=problem_responses(*_READ_PROBLEMS),
    openapi_extra={"parameters": [_NAME]},
)
_ACTS: dict[str, _Act] = {
    "pause": PauseIt(),
    "resume": ResumeIt(),
    "skip": SkipIt(),
    "rebuild": RebuildIt(),
    "compare": CompareIt(),
    "promote": PromoteIt(),
    "rollback": RollBack(),
}
for _verb, _act in _ACTS.items():
    _schema = _act.body.model_json_schema()
    router.add_api_route(
        f"/v1/ops/projections/{{name}}/{_verb}",
        _act,
        methods=["POST"],
        status_code=_act.status,
        operation_id=f"ops.projection.{_verb}",
        summary=(type(_act).__doc__ or "").strip(),
        response_model=None,
        responses=problem_responses(*_ACT_PROBLEMS),
        openapi_extra={
            "parameters": [_NAME],
            "requestBody": {
                "required": _act.body in (Pause, Skip),
                "content": {"application/json": {"schema": _schema}},
            },
        },
    )
