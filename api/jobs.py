"""Jobs: long work that was asked for, how far it is, and its end; also as a stream of events."""

import asyncio
from collections.abc import AsyncGenerator
from time import monotonic
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from api.accepts import require_format
from api.answers import JsonAnswer
from api.command_descriptions import problem_responses
from api.door_routes import DoorRoute
from api.event_stream import BEAT, EVENT_STREAM, Streams, message
from api.operations import Operations, Told, admit_operator
from api.ops_projections import LOOK, OPERATE
from api.problems import Problem
from write_model.values.identifiers import decode
from write_model.values.invalid import Invalid

_SHOWN = 50
_LOOK_SECONDS = 0.5
_OVER = frozenset({"done", "failed", "cancelled", "interrupted"})


class JobList:
    """The latest."""

    permission = LOOK

    async def __call__(self, request: Request) -> Response:
        """The latest first."""
        _, operations = await admit_operator(request, LOOK)
        require_format(request)
        return JsonAnswer({"data": await operations.jobs(_SHOWN)})


class OneJob:
    """One of them."""

    permission = LOOK

    async def __call__(self, request: Request) -> Response:
        """How far it is."""
        _, operations = await admit_operator(request, LOOK)
        require_format(request)
        return JsonAnswer(_found(await operations.job(_job_id(request))))


class CancelJob:
    """Stops one."""

    permission = OPERATE

    async def __call__(self, request: Request) -> Response:
        """Within a second or two; what was built is kept. One that is over stays as it is."""
        _, operations = await admit_operator(request, OPERATE)
        require_format(request)
        return JsonAnswer(_found(await operations.cancel(_job_id(request))))


class JobStream:
    """The same, told whenever it has moved, until it is over."""

    permission = LOOK

    async def __call__(self, request: Request) -> Response:
        """Events `progress`, and at last `done`, `failed`, `cancelled` or `interrupted`."""
        _, operations = await admit_operator(request, LOOK)
        require_format(request, (EVENT_STREAM,))
        job_id = _job_id(request)
        job = _found(await operations.job(job_id))
        streams: Streams = request.app.state.streams
        return streams.answer(_progress(request, operations, job_id, job))


async def _progress(
    request: Request, operations: Operations, job_id: UUID, job: Told
) -> AsyncGenerator[bytes, None]:
    told: Told | None = None
    heartbeat_seconds = request.app.state.streams.pace.heartbeat_seconds
    said = monotonic()
    while True:
        if job != told:
            yield message(job["state"] if job["state"] in _OVER else "progress", job)
            told, said = job, monotonic()
        elif monotonic() - said >= heartbeat_seconds:
            yield BEAT
            said = monotonic()
        if job["state"] in _OVER:
            return
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            # Afresh: a right may have been taken away meanwhile, or the token have ended.
            caller = await request.app.state.visitors.admit(request)
            found = await operations.job(job_id) if caller.may(LOOK) else None
        except (Problem, SQLAlchemyError, OSError):
            return
        if found is None:
            return
        job = found


def _job_id(request: Request) -> UUID:
    try:
        return decode("job", request.path_params["job_id"])
    except Invalid:
        raise Problem("not-found") from None


def _found(job: Told | None) -> Told:
    if job is None:
        raise Problem("not-found")
    return job


_ID: dict[str, Any] = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^job_[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
}
router = APIRouter(route_class=DoorRoute, tags=["operations"])
for _method, _path, _endpoint, _name, _summary in (
    ("GET", "/v1/jobs", JobList(), "jobs.list", "The jobs of late."),
    ("GET", "/v1/jobs/{job_id}", OneJob(), "jobs.show", "How far a job is."),
    ("GET", "/v1/jobs/{job_id}/stream", JobStream(), "jobs.stream", "The same, as events."),
    ("POST", "/v1/jobs/{job_id}/cancel", CancelJob(), "jobs.cancel", "Stop a job; what was built is kept."),
):
    router.add_api_route(
        _path,
        _endpoint,
        methods=[_method],
        operation_id=_name,
        summary=_summary,
        response_model=None,
        responses=problem_responses(400, 401, 403, 404, 406, 500, 503),
        openapi_extra={"parameters": [_ID]} if "{" in _path else None,
    )
