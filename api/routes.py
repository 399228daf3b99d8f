"""Walks the routes of an application: which there are, and which gate each stands behind."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute


def routes_of(app: FastAPI) -> Iterator[APIRoute]:
    """Every route; anything else, such as a mounted application, would have no gate and is refused."""
    for route in app.routes:
        if not isinstance(route, APIRoute):
            raise TypeError(f"{route!r} is not a route of ours")
        yield route


def gates_of(route: APIRoute) -> Iterator[Any]:
    """Whatever in front of a route names a permission: its endpoint, or something it depends on."""
    for call in _calls(route.dependant):
        if hasattr(call, "permission"):
            yield call


def _calls(dependant: Any) -> Iterator[Any]:
    yield dependant.call
    for below in dependant.dependencies:
        yield from _calls(below)
