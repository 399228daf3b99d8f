"""Read your own writes: wait until projections have folded what the reader already knows of.

A checkpoint is a completed prefix, so it only has to reach the position of the reader's token. Checkpoints
are remembered in memory, and moved on by notifications that say where they are now, so usually the database
is not asked at all. Who waits looks for himself every 50 ms, in case a notification was lost.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import psycopg
from prometheus_client import Histogram
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from read_model.database import SILENCE_ENDS, snapshot

_CHANNEL = "ccontrol_checkpoints"
_EVERY_PARTITION = "*"
_POLL_SECONDS = 0.05
_RECONNECT_SECONDS = 0.5
# Less is no wait: nothing was asked and nobody heard.
_FAST_SECONDS_MAX = 0.0005

_WAITS = Histogram(
    "ccontrol_consistency_wait_seconds",
    "Waiting for projections to reach a token",
    ["outcome"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5),
)
# Told from the beginning: of a series that begins with its first timeout no rate can be taken.
for _outcome in ("fast", "waited", "timeout", "stopped"):
    _WAITS.labels(_outcome)

_CHECKPOINTS = """
SELECT p.name, p.generation, c.position,
        CASE WHEN p.paused THEN 'paused'
             WHEN EXISTS (SELECT FROM read.failures f WHERE f.projection = p.name
                             AND f.partition = c.partition AND f.resolved_at IS NULL) THEN 'failed'
             ELSE 'running' END
    FROM read.projections p
    JOIN read.checkpoints c ON c.projection = p.name AND c.generation = p.generation
    WHERE c.partition = :partition
"""

State = Literal["fresh", "behind", "stopped"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far the projections of a question are. `behind` names those that hold it up."""

    positions: Mapping[str, int]
    fresh: bool
    state: State
    behind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Up to where a generation has folded a partition; `running`, `paused` or `failed`."""

    generation: int
    position: int
    state: str


class UnknownProjections(LookupError):
    """A question names projections that are not registered."""


class Freshnesses:
    """The checkpoints as this process knows them. `start` before use, `stop` at the end."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._known: dict[int, dict[str, Checkpoint]] = {}
        # By partition: what happens when somebody moves on there; what the notifications said.
        self._moved: dict[int, asyncio.Event] = {}
        self._said: dict[int, dict[str, tuple[int, int]]] = {}
        self._forgotten = 0
        self._listening: asyncio.Task[None] | None = None
        self._looking: dict[int, asyncio.Task[dict[str, Checkpoint]]] = {}

    async def start(self) -> None:
        """Begin to listen."""
        self._listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    async def wait(
        self, projections: Sequence[str], partition: int, position: int, *, timeout_seconds: float = 1.0
    ) -> Freshness:
        """Return when all are at `position`, when one of them is stopped short of it, or when time is up."""
        begun = looked_at = time.monotonic()
        deadline = begun + timeout_seconds
        must_look = False
        while True:
            moved = self.news(partition)
            found, looked = self._judge(self._known.get(partition, {}), projections, position), False
            # "Behind" is believed for the moment: who has just written is told when it is so no more.
            if found is None or found.state == "stopped" or must_look:
                found, looked = self._judge(await self.look(partition), projections, position), True
            if found is None:
                raise UnknownProjections(", ".join(projections))
            now = time.monotonic()
            if found.fresh or (looked and (found.state == "stopped" or now >= deadline)):
                self._observe(found, now - begun)
                return found
            looked_at = now if looked else looked_at
            look_at = min(looked_at + _POLL_SECONDS, deadline)
            await _happens(moved, look_at - now)
            must_look = time.monotonic() >= look_at

    def _observe(self, found: Freshness, seconds: float) -> None:
        outcome = {"fresh": "waited", "stopped": "stopped", "behind": "timeout"}[found.state]
        if found.fresh and seconds < _FAST_SECONDS_MAX:
            outcome = "fast"
        _WAITS.labels(outcome).observe(seconds)

    def _judge(
        self, known: Mapping[str, Checkpoint], projections: Sequence[str], position: int
    ) -> Freshness | None:
        try:
            checkpoints = {name: known[name] for name in projections}
        except KeyError:
            return None
        positions = {name: checkpoint.position for name, checkpoint in checkpoints.items()}
        behind = tuple(name for name, at in positions.items() if at < position)
        if not behind:
            return Freshness(positions, True, "fresh")
        stopped = any(checkpoints[name].state != "running" for name in behind)
        return Freshness(positions, False, "stopped" if stopped else "behind", behind)

    def news(self, partition: int) -> asyncio.Event:
        """Set at the next movement. Ask for it before looking, and nothing in between is missed."""
        return self._moved.setdefault(partition, asyncio.Event())

    async def look(self, partition: int) -> Mapping[str, Checkpoint]:
        """Ask the database; whoever asks at the same time shares the answer."""
        task = self._looking.get(partition)
        if task is None:
            task = asyncio.create_task(self._ask(partition))
            self._looking[partition] = task
            task.add_done_callback(lambda _: self._looking.pop(partition, None))
        return await asyncio.shield(task)

    async def _ask(self, partition: int) -> dict[str, Checkpoint]:
        forgotten = self._forgotten
        async with self._engine.connect() as connection:
            rows = (await connection.execute(text(_CHECKPOINTS), {"partition": partition})).all()
        found = {name: Checkpoint(*checkpoint) for name, *checkpoint in rows}
        if forgotten == self._forgotten:
            self._known[partition] = found
            # What was said while the question was on its way may be later than the answer.
            self._raise(partition)
        return found

    async def _listen(self) -> None:
        url = make_url(self._engine.url).set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            # What was missed while nobody listened is forgotten rather than trusted.
            self.forget()
            try:
                connection = await psycopg.AsyncConnection.connect(
                    url, autocommit=True, application_name="ccontrol-freshness", **SILENCE_ENDS
                )
                async with connection:
                    await connection.execute(f"LISTEN {_CHANNEL}")
                    self.forget()
                    async for notification in connection.notifies():
                        self._hear(notification.payload)
            except (psycopg.Error, OSError, SQLAlchemyError):
                pass
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _hear(self, payload: str) -> None:
        if payload == _EVERY_PARTITION:
            self.forget()
            return
        for number, checkpoints in json.loads(payload)["at"].items():
            partition = int(number)
            if checkpoints:
                self._said.setdefault(partition, {}).update(checkpoints)
                self._raise(partition)
            else:
                self._known.pop(partition, None)
                self._said.pop(partition, None)
            self._wake(partition)

    def _raise(self, partition: int) -> None:
        """Move what is remembered on to what was said. Of another generation than is served, nothing."""
        known = self._known.get(partition, {})
        for name, (generation, position) in self._said.get(partition, {}).items():
            before = known.get(name)
            if before is not None and before.generation == generation and before.position < position:
                known[name] = Checkpoint(generation, position, before.state)

    def _wake(self, partition: int) -> None:
        moved = self._moved.pop(partition, None)
        if moved is not None:
            moved.set()

    def forget(self) -> None:
        """Trust nothing that was remembered, nor an answer that is on its way."""
        self._forgotten += 1
        self._known.clear()
        self._said.clear()
        for partition in list(self._moved):
            self._wake(partition)


async def _happens(event: asyncio.Event, timeout_seconds: float) -> None:
    """Return when it does, or when the time is up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            await event.wait()


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a projection is: the last position it folded, and when that event was recorded.

    One that is `stopped`, by a failure or an operator, goes on answering with the last it has folded.
    """

    position: int
    recorded_at: datetime | None
    stopped: bool = False


@asynccontextmanager
async def reading_at(
    engine: AsyncEngine, company_id: UUID, projections: tuple[str, ...], partition: int
) -> AsyncIterator[tuple[AsyncConnection, dict[str, Standing]]]:
    """One snapshot of one company's rows, and where these projections stand in it."""
    async with snapshot(engine, company_id, partition, projections) as (connection, rows):
        yield connection, {name: Standing(*standing) for name, *standing in rows}
