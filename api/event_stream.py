"""Answers that do not end: server-sent events, and what ends them after all."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

EVENT_STREAM = "text/event-stream"

log = logging.getLogger("api")

BEAT = b": \n\n"
"""A comment: it says that both ends are still there, to clients and to whatever is in between."""


def message(event: str, data: Mapping[str, Any], event_id: str | None = None) -> bytes:
    """One event as it goes over the wire."""
    said = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {event}\ndata: {said}\n\n".encode()


@dataclass(frozen=True, slots=True)
class Pace:
    """How long is waited with a stream. Seconds."""

    heartbeat_seconds: float = 15.0
    patience_seconds: float = 30.0
    """A client that takes nothing for so long is let go; what it missed it gets when it comes back."""
    farewell_seconds: float = 1.0
    """For the end of the answer, when the process is about to end."""


class Streams:
    """Those that are open in one process. They have no end of their own: the process ends them."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.closing = asyncio.Event()

    def answer(
        self, events: AsyncGenerator[bytes, None], ended: Callable[[], None] | None = None
    ) -> "EventStream":
        """The answer that tells these; `ended` is called once, however it ends."""
        return EventStream(events, self, ended or _nobody_is_told)

    def close(self) -> None:
        """Let everybody go, also whoever comes now."""
        self.closing.set()


class EventStream(Response):
    """Sends what a generator yields until it ends, the client leaves or stops taking, or the process ends."""

    def __init__(
        self, events: AsyncGenerator[bytes, None], streams: Streams, ended: Callable[[], None]
    ) -> None:
        super().__init__(
            None,
            200,
            # A proxy that gathers answers would hold every one of them back.
            {"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            EVENT_STREAM,
        )
        del self.headers["content-length"]
        self._events = events
        self._streams = streams
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One stream, from its first byte to its end."""
        try:
            await self._tell(receive, send)
        finally:
            self._ended()

    async def _tell(self, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        closing = asyncio.create_task(self._streams.closing.wait())
        tasks = {sending, leaving, closing}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            is_left = leaving.done()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._events.aclose()
        if sending.cancelled():
            if not is_left:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._streams.pace.farewell_seconds):
                        await send(_END)
        elif error := sending.exception():
            raise error

    async def _send(self, send: Send) -> None:
        async for chunk in self._events:
            try:
                async with asyncio.timeout(self._streams.pace.patience_seconds):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except TimeoutError:
                # Not ended: the server closes a connection whose answer lacks its end.
                log.info("a stream is let go: its client takes nothing")
                return
        await send(_END)


def _nobody_is_told() -> None:
    """Of a stream that nobody counts."""


_END = {"type": "http.response.body", "body": b"", "more_body": False}


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
