"""Routes whose endpoints read the request themselves: our JSON reader stands before pydantic."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.failures import ANSWERABLE, answer


class DoorRequest(Request):
    """A request whose headers the door has looked at already."""

    @property
    def headers(self) -> Headers:
        """The headers, indexed."""
        found: Headers = self.scope["state"]["headers"]
        return found


class DoorRoute(APIRoute):
    """Calls its endpoint with the request, without the framework's work for dependencies it does not have.

    Solving none, and entering the three exit stacks and two exception layers around that, costs as much as
    deciding the command does.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **described: Any) -> None:
        super().__init__(path, endpoint, **described)
        self._endpoint: Callable[[Request], Awaitable[Response]] = endpoint
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = DoorRequest(scope, receive, send)
        try:
            response = await self._endpoint(request)
        except ANSWERABLE as error:
            response = await answer(request, error)
        await response(scope, receive, send)
