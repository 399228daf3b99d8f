"""Walks the routes of an application: which there are, and which gate each stands behind."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute


def routes_of(app: FastAPI) -> Iterator[APIRoute]:
    """Every route, those of included routers too."""
    yield from _routes(app.routes)


def _routes(routes: Any) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from _routes(getattr(route, "routes", ()))


def gates_of(route: APIRoute) -> Iterator[Any]:
    """Whatever in front of a route names a permission: its endpoint, or something it depends on."""
    for call in _calls(route.dependant):
        if hasattr(call, "permission"):
            yield call


def _calls(dependant: Any) -> Iterator[Any]:
    yield dependant.call
    for below in dependant.dependencies:
        yield from _calls(below)
