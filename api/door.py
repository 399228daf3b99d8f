"""The one layer around everything: request ids, size limits, safe headers, timing, and the last resort.

One plain ASGI layer on purpose: each further one costs every request.
"""

import logging
import re
import traceback
from collections.abc import Callable
from time import perf_counter
from typing import Any
from uuid import UUID

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.headers import IndexedHeaders
from api.language import preferred
from api.metrics import Metrics
from api.problems import Problem, ProblemResponse
from write_model.values.identifiers import decode, encode
from write_model.values.invalid import Invalid

log = logging.getLogger("api")

BODY_BYTES_MAX = 256 * 1024
BATCH_BYTES_MAX = 1024 * 1024
_BATCH_PATH = "/v1/commands"

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,100}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# As they go over the wire: in lower case, which is how everything inside has them.
_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_UNLESS_SAID = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_OVER_TLS = ((b"strict-transport-security", b"max-age=31536000"),)


class Door:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, new_id: Callable[[], UUID]) -> None:
        self._app = app
        self._metrics = metrics
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope, receive, send, self._new_id)
        started = perf_counter()
        try:
            visit.refuse_declared_size()
            await self._app(scope, visit.receive, visit.send)
        except Problem as problem:
            await visit.answer(problem)
        except Exception as error:
            # The last resort must take anything. What the error says may hold input, so only its kind and
            # place are kept.
            place = "".join(traceback.format_tb(error.__traceback__))
            log.error("request %s failed with %s\n%s", visit.shown_id, type(error).__name__, place)
            if visit.status:
                raise
            await visit.answer(Problem("internal-error"))
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.timer(method, route, visit.status).observe(perf_counter() - started)


class _Visit:
    """One request on its way through the door."""

    __slots__ = ("_left", "_receive", "_scope", "_send", "headers", "shown_id", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send, new_id: Callable[[], UUID]) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self.headers = IndexedHeaders(scope)
        self.status = 0
        self._left = BATCH_BYTES_MAX if scope["path"] == _BATCH_PATH else BODY_BYTES_MAX
        given = self.headers.get("request-id")
        own, self.shown_id = _request_id(given, new_id)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_uuid"], state["request_id"], state["headers"] = own, self.shown_id, self.headers

    def refuse_declared_size(self) -> None:
        """413 before reading anything, when the client says how much it will send."""
        declared = self.headers.get("content-length", "0")
        if not declared.isdigit() or len(declared) > 15 or int(declared) > self._left:
            raise _too_large()

    async def receive(self) -> Message:
        """The body, counted: a chunked one says its size only by coming."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise _too_large()
        return message

    async def send(self, message: Message) -> None:
        """The answer, with the headers every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = message.get("headers", ())
            said = {name for name, _ in given}
            message["headers"] = [
                *given,
                (b"request-id", self.shown_id.encode("latin-1")),
                *_ALWAYS,
                *(header for header in _UNLESS_SAID if header[0] not in said),
                *(_OVER_TLS if self._scope["scheme"] == "https" else ()),
            ]
        await self._send(message)

    async def answer(self, problem: Problem) -> None:
        """A problem nobody inside has answered."""
        language = preferred(self.headers.get("accept-language", "pt-BR")[:200])
        response = ProblemResponse(problem, language=language, request_id=self.shown_id)
        await response(self._scope, self._receive, self.send)


def _too_large() -> Problem:
    # What is left of the body stays unread, so the connection cannot be used again.
    return Problem("payload-too-large", headers={"Connection": "close"})


def _request_id(given: str | None, new_id: Callable[[], UUID]) -> tuple[UUID, str]:
    """The id of a request inside, and as it is shown: the client's own when it brought a decent one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        try:
            return decode("req", given), given
        except Invalid:
            return new_id(), given
    own = new_id()
    return own, encode("req", own)
