"""Answers that do not end: server-sent events, and what ends them after all."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

EVENT_STREAM = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
# A client that takes nothing for so long is let go; what it missed it gets when it comes back.
_PATIENCE_SECONDS = 30.0

BEAT = b": \n\n"
"""A comment: it says that both ends are still there, to clients and to whatever is in between."""


def message(event: str, data: Mapping[str, Any], event_id: str | None = None) -> bytes:
    """One event as it goes over the wire."""
    said = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {event}\ndata: {said}\n\n".encode()


class EventStream(Response):
    """Sends what a generator yields until it ends, the client leaves, or the client stops taking."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(
            None,
            200,
            # A proxy that gathers answers would hold every one of them back.
            {"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            EVENT_STREAM,
        )
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One stream, from its first byte to its end."""
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self._events.aclose()
        if not sending.cancelled() and (error := sending.exception()):
            raise error

    async def _send(self, send: Send) -> None:
        async for chunk in self._events:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
