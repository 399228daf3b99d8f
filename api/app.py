"""Puts the doors together: `create_app(services)` is all a process needs.

Routers of contexts are found by themselves: every module of this package that has a `router`. Nothing is
connected here; whoever starts the process opens the store and the engine, and closes them.
"""

from importlib import import_module
from importlib.metadata import version
from pkgutil import iter_modules

from fastapi import APIRouter, FastAPI

import api
from api.auth import Visitors
from api.clock_numbers import ClockNumbers
from api.command_doors import command_router
from api.commands import load_commands
from api.door import Door
from api.door_routes import DoorRoute
from api.event_stream import Pace, Streams
from api.failures import add_failure_handlers
from api.limits import Attempts
from api.live import Live
from api.memberships import Directory
from api.metrics import Metrics
from api.openapi import document
from api.outbox_numbers import OutboxNumbers
from api.passwords import PasswordChecker
from api.queries import Reads
from api.routes import gates_of, routes_of
from api.services import Services
from api.switchboard import Switchboard, through_route
from api.tokens import AccessTokens
from api.webhook_numbers import WebhookNumbers

_PACE = Pace()


class UnknownProjection(LookupError):
    """A route reads a projection that nobody keeps: it could never be fresh."""


def create_app(services: Services, *, pace: Pace = _PACE) -> FastAPI:
    """The application, ready to serve."""
    load_commands()
    app = FastAPI(
        title="CCONTROL-M",
        version=version("ccontrol-m"),
        description="A business control platform whose every number can say where it came from.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # It would ask the environment at every request whether anybody is listening.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        # A path has one spelling; a redirect would lose the body of a command.
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.metrics = Metrics()
    app.state.outbox_numbers = OutboxNumbers()
    app.state.metrics.registry.register(app.state.outbox_numbers)
    app.state.webhook_numbers = WebhookNumbers()
    app.state.metrics.registry.register(app.state.webhook_numbers)
    app.state.clock_numbers = ClockNumbers()
    app.state.metrics.registry.register(app.state.clock_numbers)
    app.state.tokens = AccessTokens(services.token_keys)
    app.state.directory = Directory(services.engine)
    app.state.visitors = Visitors()
    app.state.passwords = PasswordChecker()
    app.state.has_started = False
    app.state.streams = Streams(pace)
    app.state.sign_ins = Attempts(services.redis, name="sign-in")
    app.state.live = (
        None
        if services.changes is None
        else Live(services.changes, services.freshness, services.concerns, services.store)
    )
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    add_failure_handlers(app)
    _put_up(app, command_router())
    for module in iter_modules(api.__path__):
        router = getattr(import_module(f"api.{module.name}"), "router", None)
        if router is not None:
            _put_up(app, router)
    _check(app, services)
    app.router.middleware_stack = Switchboard(app.router.middleware_stack, app.routes)
    app.add_middleware(Door, metrics=app.state.metrics, new_id=services.ids.new)
    # Commands need nothing of the framework's layers but a door: they leave before them.
    door = Door(through_route, metrics=app.state.metrics, new_id=services.ids.new)
    commands = [route for route in app.routes if isinstance(route, DoorRoute)]
    app.middleware_stack = Switchboard(app.build_middleware_stack(), commands, door)
    return app


def _put_up(app: FastAPI, router: APIRouter) -> None:
    """The router's routes as the application's own: an included router matches every request twice."""
    app.router.routes.extend(router.routes)


def _check(app: FastAPI, services: Services) -> None:
    """Refuse to start with a route that could never answer."""
    for route in routes_of(app):
        for gate in gates_of(route):
            unknown = set(gate.projections) - services.projections if isinstance(gate, Reads) else set()
            if unknown:
                raise UnknownProjection(f"{route.path} reads {', '.join(sorted(unknown))}")
