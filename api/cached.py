"""Answers made of a Redis view, which may be ahead of the snapshot that the gate has opened.

The lanes fold by themselves. An answer from a view is whole, but newer than what the gate has said of it: the
position it names, its header and its token must be those of the figures shown, or the next question could be
answered with less than this one.
"""

from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.freshness import asked_of
from api.queries import Reading
from api.shapes import AsOf
from read_model.cache import Built


def reading_of(built: Built[Any], reading: Reading, request: Request, response: Response) -> Reading:
    """The reading as it is for this answer; the headers say the same."""
    if built.position == reading.as_of.position:
        return reading
    asked = asked_of(request, reading.company_id, reading.services)
    response.headers["Projection-Position"] = f"{built.projection}={built.position}"
    response.headers["Consistency-Token"] = asked.token_after(built.position, reading.services)
    as_of = AsOf(position=built.position, at=built.recorded_at)
    return replace(reading, as_of=as_of, positions={built.projection: built.position})
