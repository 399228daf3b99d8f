"""Is it alive, is it ready, and the numbers: for supervisors, load balancers and Prometheus."""

import asyncio
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from api.answers import JsonAnswer
from api.door_routes import DoorRoute
from api.lags import LIVE, MISSING, Lag, lags
from api.problems import Problem
from api.services import Services, services_of

_PATIENCE_SECONDS = 2.0
# Whatever the reason, it does not answer; the reason is in its own log.
_SILENT = (SQLAlchemyError, RedisError, OSError, TimeoutError)
_PUBLIC: dict[str, Any] = {"security": []}


class Live:
    """The process answers. Asks nobody else: a database that is down must not get us killed."""

    permission = None

    async def __call__(self, request: Request) -> Response:
        """Always yes."""
        return JsonAnswer({"status": "ok"})


class Started:
    """Whether it has ever been able to serve: who waits for that need not know what readiness is about."""

    permission = None

    async def __call__(self, request: Request) -> Response:
        """503 until the database is there, and every projection in it; 200 from then on, whatever comes."""
        state = request.app.state
        if not state.has_started:
            found = await _lags(services_of(request))
            state.has_started = found is not None and all(lag.state != MISSING for lag in found)
        if state.has_started:
            return JsonAnswer({"status": "ok"})
        return JsonAnswer({"status": "starting"}, 503, {"Retry-After": "1"})


class Ready:
    """Whether requests can be served here now."""

    permission = None

    async def __call__(self, request: Request) -> Response:
        """503 without the database, a projection, or the books of today; 200 and `degraded` for the rest."""
        services = services_of(request)
        database, redis, found = await asyncio.gather(_database(services), _redis(services), _lags(services))
        served = database and found is not None and not any(lag.forbids for lag in found)
        late = any(lag.state != LIVE for lag in found or ())
        status = "unavailable" if not served else "degraded" if late or not redis else "ok"
        body = {
            "status": status,
            "checks": {"database": _word(database), "redis": _word(redis)},
            "projections": [
                {
                    "name": lag.name,
                    "lag_events": lag.lag_events,
                    "lag_seconds": round(lag.lag_seconds, 3),
                    "state": lag.state,
                    "gates": lag.gates,
                }
                for lag in found or ()
            ],
        }
        return JsonAnswer(body, 200 if served else 503, {} if served else {"Retry-After": "1"})


class Numbers:
    """What was counted in this process."""

    permission = None

    async def __call__(self, request: Request) -> Response:
        """In Prometheus' text format: the doors' own numbers, then everybody else's."""
        services, state = services_of(request), request.app.state
        with suppress(*_SILENT):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await state.outbox_numbers.look(services.engine)
                await state.webhook_numbers.look(services.engine)
                await state.clock_numbers.look(services.engine, services.clock)
        operations = services.operations
        if operations is not None:
            with suppress(*_SILENT, Problem):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await operations.measure()
        own = generate_latest(state.metrics.registry)
        return Response(own + generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


async def _database(services: Services) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            async with services.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        return True
    except _SILENT:
        return False


async def _redis(services: Services) -> bool:
    if services.redis is None:
        return True
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await services.redis.ping()
        return True
    except _SILENT:
        return False


async def _lags(services: Services) -> list[Lag] | None:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await lags(services.engine, services.projections)
    except _SILENT:
        return None


def _word(answers: bool) -> str:
    return "ok" if answers else "down"


router = APIRouter(route_class=DoorRoute, tags=["health"])
for _path, _endpoint, _summary in (
    ("/livez", Live(), "Is the process alive?"),
    ("/readyz", Ready(), "Can it serve requests?"),
    ("/startupz", Started(), "Has it come up?"),
    ("/metrics", Numbers(), "Numbers for Prometheus."),
):
    router.add_api_route(
        _path,
        _endpoint,
        methods=["GET"],
        operation_id=f"health.{_path[1:]}",
        summary=_summary,
        response_model=None,
        openapi_extra=_PUBLIC,
    )
