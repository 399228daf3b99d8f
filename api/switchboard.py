"""Finds the route of a request by its segments, instead of trying one pattern after the other.

With eighty routes, trying them in turn costs more than everything else the framework does for a request.
What is not found here at once, a wrong method or an unknown path, goes the framework's own way.
"""

from collections.abc import Iterable

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

# Method, number of segments, the first two, and the last when it is not a parameter.
_Key = tuple[str, int, str, str, str | None]


async def through_route(scope: Scope, receive: Receive, send: Send) -> None:
    """To the route that was found."""
    await scope["route"].handle(scope, receive, send)


class Switchboard:
    """Knows some routes and goes to them by way of `found`; everything else goes to `otherwise`."""

    def __init__(
        self, otherwise: ASGIApp, routes: Iterable[BaseRoute], found: ASGIApp = through_route
    ) -> None:
        self._otherwise = otherwise
        self._found = found
        self._plain: dict[tuple[str, str], APIRoute] = {}
        self._patterns: dict[_Key, list[APIRoute]] = {}
        for route in routes:
            if isinstance(route, APIRoute):
                self._learn(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """To the route, if it is one of these."""
        # The framework notes the route for its telemetry, when there is any.
        if scope["type"] == "http" and scope.get("fastapi.telemetry") is None and not scope.get("root_path"):
            for route in self._candidates(scope["method"], scope["path"]):
                match, known = route.matches(scope)
                if match is Match.FULL:
                    scope.update(known)
                    await self._found(scope, receive, send)
                    return
        await self._otherwise(scope, receive, send)

    def _learn(self, route: APIRoute) -> None:
        segments = route.path.split("/")
        for method in route.methods or ():
            if "{" not in route.path:
                self._plain.setdefault((method, route.path), route)
            elif len(segments) > 2 and "{" not in segments[1] and ":path}" not in route.path:
                last = None if segments[-1].startswith("{") else segments[-1]
                second = "" if segments[2].startswith("{") else segments[2]
                key = (method, len(segments), segments[1], second, last)
                self._patterns.setdefault(key, []).append(route)

    def _candidates(self, method: str, path: str) -> Iterable[APIRoute]:
        plain = self._plain.get((method, path))
        if plain is not None:
            return (plain,)
        segments = path.split("/")
        count = len(segments)
        if count < 3:
            return ()
        known, first, second = self._patterns, segments[1], segments[2]
        return (
            known.get((method, count, first, second, segments[-1]))
            or known.get((method, count, first, second, None))
            or known.get((method, count, first, "", None))
            or ()
        )
