"""One page for every problem code: where `type` leads."""

from html import escape

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.door_routes import DoorRoute
from api.problem_kinds import KINDS, Kind
from api.problems import Problem, refusal_kinds

_PAGE = """<!doctype html><html lang="{lang}"><meta charset="utf-8"><title>{code}</title>
<link rel="stylesheet" href="/docs/docs.css"><main><h1><code>{code}</code></h1>
<p lang="pt-BR">{pt}</p><p lang="en">{en}</p>
<p>HTTP {status}. {retry}</p><p><a href="/problems">All problems</a></p></main></html>
"""
_LIST = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Problems</title>
<link rel="stylesheet" href="/docs/docs.css"><main><h1>Problems</h1><ul>{items}</ul></main></html>
"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
    "Cache-Control": "public, max-age=3600",
}


def all_kinds() -> dict[str, Kind]:
    """What a client may ever meet: the doors' own problems and the refusals of the business."""
    return refusal_kinds() | KINDS


class ProblemPage:
    """The page of one code."""

    permission = None

    async def __call__(self, request: Request) -> Response:
        """What it means, in both languages."""
        kind = all_kinds().get(request.path_params["code"])
        if kind is None:
            raise Problem("not-found")
        retry = "The same request may succeed later." if kind.retryable else "Change the request."
        page = _PAGE.format(
            lang="pt-BR",
            code=kind.code,
            pt=escape(kind.pt),
            en=escape(kind.en),
            status=kind.status,
            retry=retry,
        )
        return HTMLResponse(page, headers=_HEADERS)


class ProblemList:
    """All codes."""

    permission = None

    async def __call__(self, request: Request) -> Response:
        """Links to their pages."""
        items = "".join(
            f'<li><a href="/problems/{code}"><code>{code}</code></a> {kind.status} {escape(kind.en)}</li>'
            for code, kind in sorted(all_kinds().items())
        )
        return HTMLResponse(_LIST.format(items=items), headers=_HEADERS)


router = APIRouter(route_class=DoorRoute, include_in_schema=False)
router.add_api_route("/problems", ProblemList(), methods=["GET"], response_model=None)
router.add_api_route("/problems/{code}", ProblemPage(), methods=["GET"], response_model=None)
