"""A client of a stream of events that drives the application itself, so that it can also be slow."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Heard:
    """One event of a stream; a comment has no name."""

    event: str
    data: Any
    id: str | None


@dataclass
class Ears:
    """What has come so far. `holding` makes the client take nothing."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    body: bytes = b""
    over: bool = False
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.holding.set()

    async def send(self, message: Any) -> None:
        """What the server calls."""
        await self.holding.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")
            self.over = not message.get("more_body", False)
            while b"\n\n" in self.body:
                text, _, self.body = self.body.partition(b"\n\n")
                self.heard.append(_read(text.decode()))
        async with self._moved:
            self._moved.notify_all()

    async def until(self, count: int, event: str = "changed") -> list[Heard]:
        """Wait for so many events of this name."""
        async with asyncio.timeout(_PATIENCE_SECONDS), self._moved:
            await self._moved.wait_for(lambda: len(self.of(event)) >= count)
        return self.of(event)

    async def until_over(self) -> None:
        """Wait for the end of the stream."""
        async with asyncio.timeout(_PATIENCE_SECONDS), self._moved:
            await self._moved.wait_for(lambda: self.over)

    def of(self, event: str) -> list[Heard]:
        """The events of this name."""
        return [heard for heard in self.heard if heard.event == event]


@asynccontextmanager
async def listening(app: FastAPI, path: str, headers: dict[str, str]) -> AsyncIterator[Ears]:
    """Connected until the end."""
    ears, gone = Ears(), asyncio.Event()

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    where, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": where,
        "raw_path": where.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("doors", 80),
    }
    serving = asyncio.create_task(app(scope, receive, ears.send))
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), ears._moved:
            await ears._moved.wait_for(lambda: ears.status != 0)
        yield ears
    finally:
        gone.set()
        ears.holding.set()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await serving


def _read(text: str) -> Heard:
    lines = [line.partition(":") for line in text.splitlines()]
    fields = {name: value.removeprefix(" ") for name, _, value in lines if name}
    if "event" not in fields:
        return Heard("", None, None)
    return Heard(fields["event"], json.loads(fields["data"]), fields.get("id"))
