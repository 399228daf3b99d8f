"""What changed, as it becomes visible: one follower per partition for all clients of this process.

A change is handed out only when every running SQL projection has folded it, so a client that asks again sees
it. A stopped one is not waited for: it would silence everybody; the change does not name it then.

    the log ──▶ follower of the partition ──▶ queue of each client, bounded
                 at: up to here handed out         └─ full: the client is let go, and resumes from the log

Who resumes reads from the log up to where the follower is, and takes the rest from its queue: nothing is
missing, nothing comes twice.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from api.things import Thing, is_told, thing_of
from write_model.store.append import StoreError
from write_model.store.changes import Change

if TYPE_CHECKING:
    from read_model.freshness import Checkpoint, Freshnesses
    from write_model.store.changes import Changes
    from write_model.store.store import Store

log = logging.getLogger("api")

QUEUE_MAX = 1_000
_PAGE = 500
# Under load one look at the checkpoints answers many notifications.
_PAUSE_SECONDS = 0.02
_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Told:
    """A change that can be seen: what it is about, and the projections that show it."""

    position: int
    topic: str
    version: int
    thing: Thing
    projections: tuple[str, ...]


class _Listener:
    """The queue of one client."""

    __slots__ = ("_arrived", "_queue", "company_id", "is_lost")

    def __init__(self, company_id: UUID) -> None:
        self.company_id = company_id
        self.is_lost = False
        self._queue: deque[Told] = deque()
        self._arrived = asyncio.Event()

    def offer(self, told: Told) -> None:
        """One more, unless it has not taken the others for too long."""
        if len(self._queue) >= QUEUE_MAX:
            self.lose()
        else:
            self._queue.append(told)
            self._arrived.set()

    def lose(self) -> None:
        """End it: what it missed it will read from the log."""
        self.is_lost = True
        self._queue.clear()
        self._arrived.set()

    async def take(self, seconds: float) -> Told | None:
        """The next one, or None when the time is up."""
        if not self._queue and not self.is_lost:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()
        return self._queue.popleft() if self._queue else None


class _Follower:
    """One partition, for as long as somebody listens."""

    def __init__(self, live: "Live", partition: int) -> None:
        self._live = live
        self._partition = partition
        self.epoch = live.epoch
        self._handed = -1
        self.at = -1
        """Up to here everything is handed out, or about to be: who joins reads the log up to here."""
        self.clients = 0
        self.listeners: set[_Listener] = set()
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(self._run(), name=f"live-{partition}")

    async def _run(self) -> None:
        freshness = self._live.freshness
        while True:
            try:
                news = freshness.news(self._partition)
                await self._advance(await freshness.look(self._partition))
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await news.wait()
                await asyncio.sleep(_PAUSE_SECONDS)
            except (SQLAlchemyError, StoreError, OSError) as error:
                log.warning("the changes of partition %s: %s", self._partition, type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _advance(self, checkpoints: "Mapping[str, Checkpoint]") -> None:
        """Hand out what has become visible."""
        visible = self._live.visible(checkpoints)
        if not self.ready.is_set():
            self.at = self._handed = visible
            self.ready.set()
        # Before the log is read: who joins while it is being read must not count on this reading.
        self.at = max(self.at, visible)
        while self._handed < self.at:
            upto = self.at
            companies = list({listener.company_id for listener in self.listeners})
            page = await self._live.changes.page(self._partition, companies, self._handed, upto, _PAGE)
            for change in page:
                told = self._live.told(change, checkpoints)
                if told is not None:
                    self._hand_out(change.company_id, told)
            self._handed = page[-1].position if len(page) == _PAGE else upto

    def _hand_out(self, company_id: UUID, told: Told) -> None:
        for listener in self.listeners:
            if listener.company_id == company_id:
                listener.offer(told)


class Live:
    """All followers of this process."""

    def __init__(
        self,
        changes: "Changes",
        freshness: "Freshnesses",
        concerns: Mapping[str, frozenset[str]],
        store: "Store",
    ) -> None:
        self.changes = changes
        self.freshness = freshness
        self._store = store
        self._concerns = concerns
        self._known: frozenset[str] = frozenset().union(*concerns.values())
        self._followers: dict[int, _Follower] = {}
        self._is_closed = False

    @property
    def epoch(self) -> int:
        """Which history is told of."""
        return self._store.epoch

    def visible(self, checkpoints: "Mapping[str, Checkpoint]") -> int:
        """Up to where every running projection has come; with none running, the furthest of all."""
        known = {name: each for name, each in checkpoints.items() if name in self._known}
        running = [each.position for each in known.values() if each.state == "running"]
        return min(running) if running else max((each.position for each in known.values()), default=0)

    def told(self, change: Change, checkpoints: "Mapping[str, Checkpoint]") -> Told | None:
        """The change as clients see it; None where it is of no interest to them."""
        if not is_told(change.topic):
            return None
        names = sorted(self._concerns.get(change.topic, ()))
        shown = tuple(n for n in names if n in checkpoints and checkpoints[n].position >= change.position)
        try:
            thing = thing_of(change.topic, change.data)
        except (KeyError, ValueError) as error:
            # Recorded in a form this program does not know: projections stop there, this need not.
            log.warning("a change at position %s: %s", change.position, type(error).__name__)
            return None
        return Told(change.position, change.topic, change.version, thing, shown)

    @asynccontextmanager
    async def joined(self, company_id: UUID, partition: int) -> AsyncIterator["Ear"]:
        """A place among those who are told."""
        follower = self._followers.get(partition)
        if follower is None or follower.task.done() or follower.epoch != self.epoch:
            follower = self._followers[partition] = _Follower(self, partition)
        follower.clients += 1
        listener = _Listener(company_id)
        try:
            await follower.ready.wait()
            yield Ear(self, follower, listener, partition)
        finally:
            follower.listeners.discard(listener)
            follower.clients -= 1
            if not follower.clients:
                follower.task.cancel()
                if self._followers.get(partition) is follower:
                    del self._followers[partition]

    async def close(self) -> None:
        """Let everybody go."""
        self._is_closed = True
        followers, self._followers = list(self._followers.values()), {}
        for follower in followers:
            follower.task.cancel()
            for listener in follower.listeners:
                listener.lose()
        await asyncio.gather(*(follower.task for follower in followers), return_exceptions=True)

    @property
    def is_closed(self) -> bool:
        """Whether the process is about to end."""
        return self._is_closed


class Ear:
    """One client."""

    def __init__(self, live: Live, follower: _Follower, listener: _Listener, partition: int) -> None:
        self._live = live
        self._follower = follower
        self._listener = listener
        self._partition = partition

    @property
    def epoch(self) -> int:
        """The history it is told of; with another one this ends."""
        return self._follower.epoch

    @property
    def start(self) -> int:
        """From where a new client may begin: everything up to here can be seen already."""
        return self._follower.at

    async def changes(self, after: int, *, tick_seconds: float) -> AsyncGenerator[Told | None, None]:
        """The changes behind a position, in order, each once; None now and then.

        Ends when the client does not keep up, or with the process: it resumes from the log then. And with
        the epoch: positions behind this one belong to other events now.
        """
        while after < (upto := self._follower.at):
            page = await self._live.changes.page(
                self._partition, [self._listener.company_id], after, upto, _PAGE
            )
            checkpoints = await self._live.freshness.look(self._partition)
            for change in page:
                told = self._live.told(change, checkpoints)
                if told is not None:
                    yield told
            after = page[-1].position if len(page) == _PAGE else upto
        # Nothing is awaited between the last look at `at` and this: what is handed out next comes here.
        self._follower.listeners.add(self._listener)
        while not self._is_over():
            told = await self._listener.take(tick_seconds)
            if self._is_over():
                return
            if told is None or told.position > after:
                yield told

    def _is_over(self) -> bool:
        ended = self._live.is_closed or self._follower.task.done()
        return ended or self._listener.is_lost or self._follower.epoch != self._live.epoch
