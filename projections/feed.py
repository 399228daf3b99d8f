"""One partition in one lane: reads the log and brings every projection of the lane forward.

A page is decoded once and given to all projections near the front. One that is far behind (resumed, new) has
pages of its own in between, until it has caught up. A projection that cannot take an event stops there; the
others go on.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from projections import metrics
from projections.backoff import Backoff
from projections.connections import is_transient, stop_if_cancelled
from projections.failures import Failures
from projections.lane import CheckpointMoved, EventRefused, Fence, Follower, Lane, LeaseLost, apply_or_blame
from projections.pages import EventLog, LogUnreadable, Pages
from projections.roster import Roster
from write_model.message import Event, Recorded

# Large enough that statements do not count, small enough for the others to be served in between.
PAGE_EVENTS = 2000
# Pages up to this long, as at the head, are written in one transaction for all.
_TOGETHER_EVENTS = 500
HANDLER_TRIES = 5
_FIRST_RETRY_SECONDS = 0.02
_IDLE_SECONDS = 0.5

_log = structlog.get_logger(__name__)


class Feed:
    """Runs until its lease is lost or it is cancelled; both are safe at any moment."""

    def __init__(
        self,
        lane: Lane,
        log: EventLog,
        fence: Fence,
        failures: Failures,
        *,
        look: Callable[[Roster | None], Awaitable[Roster]],
        moved: Callable[[Sequence[Follower]], None],
    ) -> None:
        self._lane = lane
        self._log = log
        self._fence = fence
        self._partition = fence.partition
        self._failures = failures
        self._look = look
        self._moved = moved
        self._roster: Roster | None = None
        self._mistrusted: Roster | None = None
        self._followers: list[Follower] = []
        self._front = Pages(log, fence.partition)
        self._behind = Pages(log, fence.partition)

    async def run(self) -> None:
        """Fold for ever."""
        backoff = Backoff()
        blocked = metrics.BLOCKED.labels(self._fence.lane)
        waiting = False
        try:
            while True:
                stop_if_cancelled()
                try:
                    await self._round()
                    backoff.reset()
                    if waiting:
                        waiting = False
                        blocked.dec()
                except LeaseLost:
                    return
                except CheckpointMoved:
                    stop_if_cancelled()
                    self._look_anew()
                    await asyncio.sleep(0.02)
                except Exception as error:
                    stop_if_cancelled()
                    if not is_transient(error):
                        raise
                    _log.warning("projections_blocked", partition=self._partition, error=type(error).__name__)
                    self._look_anew()
                    if not waiting:
                        waiting = True
                        blocked.inc()
                    await asyncio.sleep(backoff.failed())
        finally:
            if waiting:
                blocked.dec()
            await self._front.close()
            await self._behind.close()

    async def _round(self) -> None:
        """One page for those at the front, one for those far behind."""
        await self._follow_roster()
        if not self._followers:
            await asyncio.sleep(_IDLE_SECONDS)
            return
        front = max(follower.position for follower in self._followers)
        leaders = [f for f in self._followers if front - f.position < PAGE_EVENTS]
        stragglers = [f for f in self._followers if front - f.position >= PAGE_EVENTS]
        count = await self._fold_page(self._front, leaders)
        if stragglers:
            lowest = min(follower.position for follower in stragglers)
            cohort = [f for f in stragglers if f.position - lowest < PAGE_EVENTS]
            await self._fold_page(self._behind, cohort)
        elif not count:
            await self._lane.verify(leaders)
            await self._log.wait(self._partition, front, _IDLE_SECONDS)
            # What comes in this moment is folded together: a page costs far more than an event of it.
            await asyncio.sleep(self._lane.gather_seconds)

    async def _follow_roster(self) -> None:
        """After a change (pause, resume, promotion, failure) find out anew who follows, and from where."""
        roster = await self._look(self._mistrusted)
        self._mistrusted = None
        if roster is self._roster:
            return
        followers = [
            Follower(
                entry.folder,
                entry.generation,
                self._partition,
                self._fence,
                skipped=roster.skips.get((entry.name, self._partition), ()),
            )
            for entry in roster.running(self._fence.lane, self._partition)
        ]
        if followers:
            await self._lane.locate(followers, await self._log.head(self._partition))
        self._followers = followers
        self._roster = roster

    def _look_anew(self) -> None:
        """Whatever the roster says next, find out again who follows."""
        self._mistrusted, self._roster = self._roster, None

    async def _fold_page(self, pages: Pages, followers: Sequence[Follower]) -> int:
        """Bring these followers to the end of the next page; returns its length."""
        after = min(follower.position for follower in followers)
        try:
            page = await pages.after(after, PAGE_EVENTS, _handled_by(followers), read_ahead=True)
        except LogUnreadable as unreadable:
            await self._meet_unreadable([f for f in followers if f.position == after], unreadable)
            return 0
        if not page:
            await self._complete(followers)
            return 0
        due = [follower for follower in followers if follower.position < page[-1].position]
        together = len(page) <= _TOGETHER_EVENTS and all(follower.position == after for follower in due)
        if not together or not await self._step_together(due, page, pages.at_head):
            await self._step_apart(due, page, after, pages.at_head)
        return len(page)

    async def _step_together(
        self, followers: Sequence[Follower], page: Sequence[Recorded], at_head: bool
    ) -> bool:
        """All in one transaction; False when one of them cannot, and each has to be looked at."""
        begun = time.perf_counter()
        try:
            await self._lane.apply_all(followers, page, at_head=at_head)
        except (LeaseLost, CheckpointMoved):
            raise
        except Exception as error:
            if is_transient(error):
                raise
            return False
        self._moved(followers)
        seconds = time.perf_counter() - begun
        for follower in followers:
            metrics.BATCH_SECONDS.labels(follower.name).observe(seconds)
            metrics.EVENTS.labels(follower.name, "folded").inc(len(page))
        return True

    async def _step_apart(
        self, due: Sequence[Follower], page: Sequence[Recorded], after: int, at_head: bool
    ) -> None:
        """A transaction for each that has something to fold, one for all that have not."""
        kinds = {type(recorded.event) for recorded in page}
        busy = [follower for follower in due if follower.folder.handles(kinds)]
        idle = [follower for follower in due if not follower.folder.handles(kinds)]
        work: list[Awaitable[None]] = [
            self._step(follower, page[follower.position - after :], at_head) for follower in busy
        ]
        if idle:
            work.append(self._pass_over(idle, page[-1], at_head))
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _pass_over(self, followers: Sequence[Follower], last: Recorded, at_head: bool) -> None:
        await self._lane.advance(followers, last.position, last.recorded_at, at_head=at_head)
        self._moved(followers)

    async def _complete(self, followers: Sequence[Follower]) -> None:
        """At the head without an event: what has been built apart is complete, too."""
        for follower in followers:
            if not follower.served:
                await self._lane.advance([follower], follower.position, None, at_head=True)

    async def _step(self, follower: Follower, events: Sequence[Recorded], at_head: bool) -> None:
        """These events for this follower, as far as it can take them."""
        begun = time.perf_counter()
        before = follower.position
        try:
            await apply_or_blame(self._lane, follower, events, at_head=at_head)
        except EventRefused as refused:
            await self._insist(follower, refused)
        metrics.BATCH_SECONDS.labels(follower.name).observe(time.perf_counter() - begun)
        if follower.position > before:
            metrics.EVENTS.labels(follower.name, "folded").inc(follower.position - before)
            self._moved([follower])

    async def _insist(self, follower: Follower, refused: EventRefused) -> None:
        """Try the event a few times more, then stop at it."""
        delay = _FIRST_RETRY_SECONDS
        for _ in range(HANDLER_TRIES - 1):
            await asyncio.sleep(delay)
            delay *= 2
            try:
                await apply_or_blame(self._lane, follower, [refused.recorded], at_head=False)
                return
            except EventRefused as again:
                refused = again
        metrics.EVENTS.labels(follower.name, "failed").inc()
        self._followers = [f for f in self._followers if f is not follower]
        recorded = refused.recorded
        await self._failures.record(follower, recorded.position, recorded, refused, HANDLER_TRIES)
        # It may be resumed before anybody has looked; the roster would then be the same as before.
        self._look_anew()

    async def _meet_unreadable(self, followers: Sequence[Follower], unreadable: LogUnreadable) -> None:
        """Nobody can fold an event that cannot be read; only who was told to leave it out goes past it."""
        passing = [f for f in followers if unreadable.position in f.skipped]
        if passing:
            await self._lane.advance(passing, unreadable.position, None, at_head=False)
            self._moved(passing)
        stopping = [f for f in followers if f not in passing]
        for follower in stopping:
            self._followers = [f for f in self._followers if f is not follower]
            await self._failures.record(follower, unreadable.position, None, unreadable, 1)
        if stopping:
            self._look_anew()


def _handled_by(followers: Sequence[Follower]) -> frozenset[type[Event]]:
    return frozenset[type[Event]]().union(*[follower.folder.kinds for follower in followers])
