"""The documentation in the browser: one page of our own over the OpenAPI document, nothing from elsewhere."""

from functools import cache
from importlib.resources import files

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.door_routes import DoorRoute
from api.openapi import document
from api.problems import Problem

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {"docs.html": "text/html", "docs.js": "text/javascript", "docs.css": "text/css"}


@cache
def _file(name: str) -> bytes:
    return files("api").joinpath("static", name).read_bytes()


def _static(name: str) -> Response:
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
    return Response(_file(name), headers=headers, media_type=f"{_TYPES[name]}; charset=utf-8")


class Page:
    """The page itself."""

    permission = None

    async def __call__(self, request: Request) -> Response:
        """HTML that loads its script and style from here."""
        return _static("docs.html")


class Part:
    """Its script and its style."""

    permission = None

    async def __call__(self, request: Request) -> Response:
        """One of the few files there are."""
        name = request.path_params["name"]
        if name not in _TYPES:
            raise Problem("not-found")
        return _static(name)


class Description:
    """The OpenAPI document."""

    permission = None

    async def __call__(self, request: Request) -> Response:
        """JSON, made once."""
        state = request.app.state
        if not hasattr(state, "openapi_bytes"):
            state.openapi_bytes = msgspec.json.encode(document(request.app))
        return Response(
            state.openapi_bytes, headers={"Cache-Control": "no-cache"}, media_type="application/json"
        )


router = APIRouter(route_class=DoorRoute, include_in_schema=False)
router.add_api_route("/docs", Page(), methods=["GET"], response_model=None)
router.add_api_route("/docs/{name}", Part(), methods=["GET"], response_model=None)
router.add_api_route("/openapi.json", Description(), methods=["GET"], response_model=None)
