"""Turns every exception into a problem: ours, the framework's, and those of what we depend on."""

import re
from collections.abc import Mapping

import psycopg
import redis.exceptions
import sqlalchemy.exc
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.answers import collection_of
from api.field_errors import problem_of_invalid
from api.language import language_of
from api.problems import Problem, ProblemResponse, problem_of
from read_model.freshness import UnknownProjections
from write_model.message import COMMANDS, Invalid, Refusal
from write_model.store.append import AppendRefused, StoreError

_RETRY = {"Retry-After": "1"}
_GONE: tuple[type[Exception], ...] = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
    redis.exceptions.RedisError,
    StoreError,
    UnknownProjections,
    TimeoutError,
    ConnectionError,
)
# Before the first projector has made its tables there is nothing to ask.
_UNDEFINED_TABLE = "42P01"
_DATABASE = (sqlalchemy.exc.DataError, sqlalchemy.exc.ProgrammingError)
_OURS: tuple[type[Exception], ...] = (
    Problem,
    Refusal,
    Invalid,
    HTTPException,
    RequestValidationError,
)
ANSWERABLE: tuple[type[Exception], ...] = (*_OURS, *_DATABASE, *_GONE)
"""What is answered as a problem; anything else is a defect, left to the outermost layer."""

_RECORD = re.compile(r"(/v1/.+)/([^/]+)", re.ASCII)
_SAFE_ID = re.compile(r"[\w.-]{1,60}", re.ASCII)


def add_failure_handlers(app: FastAPI) -> None:
    """One handler for each family; whatever is left is caught at the outermost layer."""
    for family in ANSWERABLE:
        app.add_exception_handler(family, answer)


async def answer(request: Request, error: Exception) -> Response:
    """The answer to an exception."""
    problem = problem_for(request, error)
    request_id = getattr(request.state, "request_id", None)
    return ProblemResponse(problem, language=language_of(request), request_id=request_id)


def problem_for(request: Request, error: Exception) -> Problem:
    """The problem an exception is."""
    match error:
        case Problem():
            return error
        case Refusal():
            return problem_of(error)
        case RequestValidationError():
            return _of_parameters(error)
        case Invalid():
            return problem_of_invalid(error)
        case HTTPException():
            return _of_framework(request, error)
        case AppendRefused():
            raise error  # a defect of ours: logged, and answered as one
        case sqlalchemy.exc.DataError():
            # A number or a text that no column can hold: it came with the question.
            return Problem("filter-invalid")
        case sqlalchemy.exc.ProgrammingError():
            if getattr(error.orig, "sqlstate", None) != _UNDEFINED_TABLE:
                raise error
    return Problem("dependency-down", headers=_RETRY)


def _of_parameters(error: RequestValidationError) -> Problem:
    places = [item["loc"] for item in error.errors()]
    if any(place[0] == "path" for place in places):
        return Problem("not-found")
    names = sorted({str(place[1]) for place in places if len(place) > 1})
    return Problem("filter-invalid", params={"parameter": ", ".join(names)})


def _of_framework(request: Request, error: HTTPException) -> Problem:
    headers = dict(error.headers or {})
    if request.method == "DELETE" and error.status_code in (404, 405):
        actions = _ways_back(request.url.path)
        if actions is not None:
            headers.setdefault("Allow", "GET")
            return Problem("immutable-record", headers=headers, actions=actions)
    match error.status_code:
        case 404:
            return Problem("not-found", headers=headers)
        case 405:
            return Problem("method-not-allowed", headers=headers)
        case 413:
            return Problem("payload-too-large", headers=headers)
        case 400:
            return Problem("malformed-body", headers=headers)
    raise error  # nobody here raises another one


def _ways_back(path: str) -> list[Mapping[str, str]] | None:
    """The commands that reverse something on this record; None when there are no such records."""
    found = _RECORD.fullmatch(path)
    if found is None:
        return None
    collection, record = found.groups()
    reversals = {meta.reversed_by for meta in COMMANDS.values()}
    here = [meta for meta in COMMANDS.values() if collection_of(meta) == collection]
    if not here:
        return None
    if not _SAFE_ID.fullmatch(record):
        return []
    return [
        {
            "title": (meta.command.__doc__ or "").strip().splitlines()[0],
            "method": "POST",
            "href": f"/v1{meta.route.replace(f'{{{meta.target}}}', record)}",
        }
        for meta in here
        if meta.topic in reversals
    ]
