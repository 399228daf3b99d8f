"""`GET /v1/stream`: what changed, told as server-sent events as soon as it can be seen.

    id: 1-3-918273                       epoch, partition, position: `Last-Event-ID` to resume from
    event: changed
    data: {"type":"sale","id":"sal_…","version":3,"position":918273,"topic":"sales.sale_confirmed",
           "projections":["sales_orders"]}

Ids only: what changed is asked for at its own door, by somebody who may. A company lives in one partition, so
positions order everything it is told.
"""

import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import monotonic
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from prometheus_client import Gauge
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from api.accepts import require_format
from api.auth import Caller, require
from api.command_descriptions import problem_responses
from api.door_routes import DoorRoute
from api.event_stream import BEAT, EVENT_STREAM, Streams, message
from api.live import Live, Told
from api.permissions import EVERYONE
from api.problems import Problem
from api.services import Services, services_of
from api.things import context_of
from write_model.message import EVENTS

STREAMS_MAX = 2_000
STREAMS_OF_ONE_MAX = 100
# How often it is asked whether they still may; what the answer rests on is remembered for a few seconds more.
_TICK_SECONDS = 1.0

_ID = re.compile(r"([0-9]{1,10})-([0-9]{1,5})-([0-9]{1,18})", re.ASCII)
_OPEN = Gauge("ccontrol_streams_open", "Clients that are told of changes")


class Stream:
    """The endpoint."""

    permission = EVERYONE

    def __init__(self) -> None:
        self._open: Counter[UUID] = Counter()

    async def __call__(self, request: Request) -> Response:
        """Check everything that can be refused; then tell."""
        services = services_of(request)
        caller = await require(request, EVERYONE)
        require_format(request, (EVENT_STREAM,))
        _refuse_unknown(request)
        topics = _topics(request)
        live: Live | None = request.app.state.live
        if live is None:
            raise Problem("dependency-down", headers={"Retry-After": "5"})
        partition, epoch = services.store.partition_of(caller.company_id), services.store.epoch
        after = await _resume_position(request, partition, services)
        streams: Streams = request.app.state.streams
        telling = _tell(request, live, caller, (epoch, partition), after, topics)
        return streams.answer(telling, ended=self._counted(caller.user_id))

    def _counted(self, user_id: UUID) -> Callable[[], None]:
        """One more, and how to say that it has ended; nothing happens between the question and the count."""
        if self._open.total() >= STREAMS_MAX or self._open[user_id] >= STREAMS_OF_ONE_MAX:
            raise Problem("rate-limited", headers={"Retry-After": "30"})
        self._open[user_id] += 1
        _OPEN.set(self._open.total())

        def ended() -> None:
            self._open[user_id] -= 1
            self._open += Counter()
            _OPEN.set(self._open.total())

        return ended


async def _tell(
    request: Request,
    live: Live,
    caller: Caller,
    place: tuple[int, int],
    after: int | None,
    topics: tuple[str, ...],
) -> AsyncGenerator[bytes, None]:
    """What the caller may know, for as long as they may; `place` is epoch and partition."""
    epoch, partition = place
    heartbeat_seconds = request.app.state.streams.pace.heartbeat_seconds
    said = asked = monotonic()
    async with live.joined(caller.company_id, partition) as ear:
        if ear.epoch != epoch:
            return  # restored in this very moment: where the client was is no more
        begin = ear.start if after is None else after
        # A client that fetches its lists after this misses nothing: what comes later is told.
        yield message("ready", {"position": begin}, f"{epoch}-{partition}-{begin}")
        async with aclosing(ear.changes(begin, tick_seconds=_TICK_SECONDS)) as changes:
            async for told in changes:
                if monotonic() - asked >= _TICK_SECONDS:
                    admitted = await _admitted(request, caller)
                    if admitted is None:
                        return
                    caller, asked = admitted, monotonic()
                if told is not None and _wanted(told, topics) and _may_know(caller, told):
                    yield _message(told, f"{epoch}-{partition}-{told.position}")
                    said = monotonic()
                elif monotonic() - said >= heartbeat_seconds - _TICK_SECONDS:
                    yield BEAT
                    said = monotonic()


def _may_know(caller: Caller, told: Told) -> bool:
    return caller.may(f"{context_of(told.topic)}.read")


async def _admitted(request: Request, caller: Caller) -> Caller | None:
    """The caller with the rights they have by now; None once the token, or they, are no longer good."""
    try:
        found: Caller = await request.app.state.visitors.admit(request)
    except (Problem, SQLAlchemyError, OSError):
        return None
    return found if found.company_id == caller.company_id else None


def _message(told: Told, event_id: str) -> bytes:
    data = {
        "type": told.thing.type,
        "id": told.thing.id,
        "version": told.version,
        "position": told.position,
        "topic": told.topic,
        "projections": list(told.projections),
    }
    return message("changed", data, event_id)


def _wanted(told: Told, topics: tuple[str, ...]) -> bool:
    return not topics or told.topic in topics or context_of(told.topic) in topics


def _refuse_unknown(request: Request) -> None:
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in ("topics", "last_event_id"):
            raise Problem("filter-unknown", params={"known": "last_event_id, topics"})
        if names.count(name) > 1:
            raise Problem("filter-repeated", params={"parameter": name})


def _topics(request: Request) -> tuple[str, ...]:
    """`?topics=sales,catalog.price_revised`: contexts, or single kinds of events."""
    text = request.query_params.get("topics")
    if text is None:
        return ()
    known = {*EVENTS, *map(context_of, EVENTS)}
    asked = tuple(text.split(","))
    if not set(asked) <= known:
        raise Problem("filter-invalid", params={"parameter": "topics"})
    return asked


async def _resume_position(request: Request, partition: int, services: Services) -> int | None:
    """Where the client was; 409 when that was in a history that is no more."""
    given = request.headers.getlist("last-event-id") or request.query_params.getlist("last_event_id")
    if not given:
        return None
    found = _ID.fullmatch(given[0]) if len(given) == 1 else None
    if found is None or int(found[2]) != partition:
        raise Problem("malformed-header", params={"header": "Last-Event-ID"})
    epoch, _, position = map(int, found.groups())
    if epoch != services.store.epoch or position > await services.store.head(partition):
        raise Problem("store-epoch-changed")
    return position


_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "topics",
        "in": "query",
        "description": "Contexts or kinds of events, with commas between: `sales,catalog.price_revised`.",
        "schema": {"type": "string"},
    },
    {
        "name": "last_event_id",
        "in": "query",
        "description": "The same as the header `Last-Event-ID`, for who cannot set it.",
        "schema": {"type": "string"},
    },
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The `id` of the last event seen: what came after it is told first.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,10}-[0-9]{1,5}-[0-9]{1,18}$"},
    },
]

router = APIRouter(route_class=DoorRoute, tags=["integration"])
router.add_api_route(
    "/v1/stream",
    Stream(),
    methods=["GET"],
    operation_id="stream.changes",
    summary="What changes in this company, told as soon as it can be seen.",
    response_model=None,
    responses={
        200: {"description": "Events without end", "content": {EVENT_STREAM: {"schema": {"type": "string"}}}},
        **problem_responses(400, 401, 403, 406, 409, 429, 500, 503),
    },
    openapi_extra={"parameters": _PARAMETERS},
)
