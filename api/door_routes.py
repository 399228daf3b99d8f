"""Routes whose endpoints read the request themselves: our JSON reader stands before pydantic."""

from collections.abc import Awaitable, Callable

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class DoorRoute(APIRoute):
    """Calls its endpoint with the request, without the work of solving dependencies it does not have."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """The endpoint itself."""
        return self.endpoint
