"""The doors of commands, made from the registry: one route per command, one for any of them, one for many.

Each entry of the registry has `POST /v1<route>` and `POST /v1/commands/<topic>`; `POST /v1/commands` takes
one or a batch.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import batches
from api.accepts import require_format
from api.auth import require
from api.command_descriptions import description_of, generic_description
from api.command_items import Item
from api.commands import load_commands
from api.desk import Handed, hand_in
from api.door_routes import DoorRoute
from api.envelope import envelope_of
from api.forms import Form
from api.permissions import EVERYONE
from api.problems import Problem
from api.strict_json import read_body


@cache
def forms() -> Mapping[str, Form]:
    """The form of every command, by topic."""
    return {topic: Form(meta) for topic, meta in sorted(load_commands().items())}


class CommandDoor:
    """The endpoint of one command."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.permission = form.meta.permission

    async def __call__(self, request: Request) -> Response:
        """Admit, read, decide, answer."""
        caller = await require(request, self.permission)
        require_format(request)
        envelope = envelope_of(request)
        body = await read_body(request)
        handed = Handed(form=self.form, body=body, target=request.path_params.get(self.form.meta.target))
        return await hand_in(request, caller, handed, envelope)


class GenericDoor:
    """The endpoint of any one command, named in the path."""

    # What it may do is decided by the command it is given.
    permission = EVERYONE

    async def __call__(self, request: Request) -> Response:
        """Find the command, then as its own route would."""
        await require(request, EVERYONE)
        form = forms().get(request.path_params["topic"])
        if form is None:
            raise Problem("not-found")
        caller = await require(request, form.meta.permission)
        require_format(request)
        envelope = envelope_of(request)
        item = Item.read(await read_body(request), topic=form.topic)
        return await hand_in(request, caller, item.handed(form), item.envelope(envelope))


class BatchDoor:
    """The endpoint of one command or of up to a thousand, named in the body."""

    permission = EVERYONE

    async def __call__(self, request: Request) -> Response:
        """Tell one from many."""
        caller = await require(request, EVERYONE)
        require_format(request)
        envelope = envelope_of(request)
        body = await read_body(request)
        if isinstance(body, dict) and "commands" in body:
            return await batches.hand_in_all(request, caller, forms(), body, envelope)
        item = Item.read(body)
        form = item.form_of(forms())
        caller = await require(request, form.meta.permission)
        return await hand_in(request, caller, item.handed(form), item.envelope(envelope))


def command_router() -> APIRouter:
    """All of it."""
    router = APIRouter(route_class=DoorRoute)
    for form in forms().values():
        _add(router, f"/v1{form.meta.route}", CommandDoor(form), form.topic, description_of(form))
    _add(router, "/v1/commands", BatchDoor(), "commands", generic_description(batch=True))
    _add(router, "/v1/commands/{topic}", GenericDoor(), "any_command", generic_description(batch=False))
    return router


def _add(router: APIRouter, path: str, endpoint: Any, name: str, described: dict[str, Any]) -> None:
    router.add_api_route(path, endpoint, methods=["POST"], name=name, response_model=None, **described)
