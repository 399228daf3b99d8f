"""Answers made of a Redis view, which may be ahead of the snapshot that the gate has opened.

The lanes fold by themselves. An answer from a view is whole, but newer than what the gate has said of it: the
position it names, its header and its token must be those of the figures shown, or the next question could be
answered with less than this one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from api.freshness import asked_of
from api.queries import Reading
from api.shapes import AsOf
from read_model.cache import Built, Views

A = TypeVar("A")


async def from_view(
    ask: Callable[[Views], Awaitable[Built[A] | None]],
    reading: Reading,
    request: Request,
    response: Response,
) -> tuple[A, Reading] | None:
    """What the view says, and the reading as it is for that; the headers say the same. None: ask SQL."""
    built = None if reading.cache is None else await ask(reading.cache)
    if built is None:
        return None
    if built.position == reading.as_of.position:
        return built.answer, reading
    if built.position > await reading.services.store.head(reading.partition):
        # Nothing has been recorded there: somebody else wrote this, and a token of it would be refused.
        return None
    return built.answer, _reading_of(built, reading, request, response)


def _reading_of(built: Built[Any], reading: Reading, request: Request, response: Response) -> Reading:
    asked = asked_of(request, reading.company_id, reading.services)
    response.headers["Projection-Position"] = f"{built.projection}={built.position}"
    response.headers["Consistency-Token"] = asked.token_after(built.position, reading.services)
    as_of = AsOf(position=built.position, at=built.recorded_at)
    return replace(reading, as_of=as_of, positions={built.projection: built.position})
