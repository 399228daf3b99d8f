"""Folding a generation that nobody is served from yet, from the log, partitions side by side."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from projections import metrics
from projections.backoff import Backoff
from projections.connections import is_transient, stop_if_cancelled
from projections.fold import Folder
from projections.lane import CheckpointMoved, EventRefused, Follower, Lane, apply_or_blame
from projections.pages import EventLog, LogUnreadable, Pages
from projections.pressure import Pressure
from projections.side_by_side import side_by_side
from projections.trouble import trouble

BUILD_EVENTS = 4000
"""Events a transaction: large enough that statements do not count, small enough to keep memory flat."""

_REPORT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild is. `eta_seconds` is None until a rate is known; `serving` is the version served."""

    projection: str
    version: int
    serving: int
    phase: str
    done: int
    total: int
    events_per_second: float
    eta_seconds: float | None
    positions: Mapping[int, int]
    seconds: float
    live_lag_seconds: float | None = None
    waiting_for: str | None = None
    """What keeps it from going on, for an operator; it goes on by itself when that has passed."""


OnProgress = Callable[[Progress], None]


class BuildFailed(Exception):
    """The rebuild stopped at an event. What was built is kept: the next one goes on from there."""

    def __init__(self, projection: str, partition: int, position: int) -> None:
        super().__init__(f"{projection} cannot fold position {position} of partition {partition}")
        self.projection = projection
        self.partition = partition
        self.position = position


class Build:
    """One generation being folded."""

    def __init__(
        self,
        lane: Lane,
        log: EventLog,
        folder: Folder,
        generation: int,
        partitions: Sequence[int],
        skips: Mapping[tuple[str, int], Collection[int]],
        on_progress: OnProgress | None,
        *,
        serving: int,
        batch: int | None = None,
        pressure: Pressure | None = None,
    ) -> None:
        self.name = folder.projection.name
        self.projection = folder.projection
        self.version = folder.projection.version
        self.generation = generation
        self.skips = skips
        self.batch = batch or BUILD_EVENTS
        self._serving = serving
        self._pressure = pressure
        self.followers = {
            partition: Follower(
                folder, generation, partition, None, skipped=skips.get((self.name, partition), ())
            )
            for partition in partitions
        }
        self._lane = lane
        self._log = log
        self._on_progress = on_progress
        self._begun = time.monotonic()
        self._reported = 0.0
        self._found = 0
        self._total = 0
        self._waits: dict[int, str] = {}

    @property
    def positions(self) -> dict[int, int]:
        """Where each partition is."""
        return {partition: follower.position for partition, follower in self.followers.items()}

    @property
    def commit_seconds_max(self) -> float | None:
        """How long others' commits may take before it is held back."""
        return self._pressure.commit_seconds_max if self._pressure is not None else None

    async def locate(self) -> None:
        """Start where an earlier attempt has stopped."""
        for partition, follower in self.followers.items():
            await self._lane.locate([follower], await self._log.head(partition))
        self._found = sum(self.positions.values())

    def place(self, positions: Mapping[int, int]) -> None:
        """The checkpoints as they are stored."""
        for partition, follower in self.followers.items():
            follower.position = positions[partition]

    def behind(self, targets: Mapping[int, int]) -> int:
        """How many events are missing to these positions."""
        return sum(max(0, targets[partition] - at) for partition, at in self.positions.items())

    def aim(self, targets: Mapping[int, int]) -> None:
        """What is to be done in all, for whoever watches."""
        self._total = max(self._total, sum(targets.values()))

    async def fold_to(self, targets: Mapping[int, int], *, jobs: int, phase: str) -> None:
        """Bring every partition exactly to its target; one that is further stays where it is."""
        self.aim(targets)
        gate = asyncio.Semaphore(jobs)
        await side_by_side(
            self._fold_partition(follower, targets[partition], gate, phase)
            for partition, follower in self.followers.items()
        )
        self._report(phase, force=True)

    def moved(self, positions: Mapping[int, int], waiting_for: str | None, phase: str) -> None:
        """Somebody else has folded on for us, or waits."""
        for partition, position in positions.items():
            self.followers[partition].position = position
            self.waits(partition, waiting_for, phase)

    async def _fold_partition(
        self, follower: Follower, target: int, gate: asyncio.Semaphore, phase: str
    ) -> None:
        backoff = Backoff()
        lost = False
        async with gate:
            pages = Pages(self._log, follower.partition)
            try:
                while follower.position < target:
                    stop_if_cancelled()
                    if self._pressure is not None:
                        await self._pressure.ease()
                    try:
                        if lost:
                            await self._lane.locate([follower], await self._log.head(follower.partition))
                            lost = False
                        await self._fold_page(follower, pages, target)
                        backoff.reset()
                        self.waits(follower.partition, None, phase)
                    except Exception as error:
                        stop_if_cancelled()
                        # An earlier attempt that was killed may have committed its last page just now.
                        if not (is_transient(error) or isinstance(error, CheckpointMoved)):
                            raise
                        lost = True
                        if is_transient(error):
                            self.waits(follower.partition, trouble(error), phase)
                        await asyncio.sleep(backoff.failed())
            finally:
                await pages.close()

    def waits(self, partition: int, what_for: str | None, phase: str) -> None:
        """A partition waits for this, or does not wait any more."""
        before = self._waits.get(partition)
        if what_for is None:
            self._waits.pop(partition, None)
        else:
            self._waits[partition] = what_for
        self._report(phase, force=before != what_for)

    async def _fold_page(self, follower: Follower, pages: Pages, target: int) -> None:
        missing = target - follower.position
        try:
            page = await pages.after(
                follower.position, self.batch, follower.folder.kinds, read_ahead=missing > self.batch
            )
            if page:
                # Redis: whole at its target, for nobody is served from it before the promotion.
                await apply_or_blame(self._lane, follower, page[:missing], at_head=len(page) >= missing)
        except EventRefused as refused:
            raise BuildFailed(self.name, follower.partition, refused.recorded.position) from refused.__cause__
        except LogUnreadable as unreadable:
            if unreadable.position in follower.skipped:
                await self._lane.advance([follower], unreadable.position, None, at_head=False)
                return
            raise BuildFailed(self.name, follower.partition, unreadable.position) from unreadable

    def _report(self, phase: str, *, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._reported < _REPORT_SECONDS:
            return
        self._reported = now
        done = sum(self.positions.values())
        metrics.REBUILD_RATIO.labels(self.name).set(done / self._total if self._total else 1.0)
        if self._on_progress is not None:
            seconds = now - self._begun
            rate = (done - self._found) / seconds if seconds > 0 else 0.0
            eta = max(0, self._total - done) / rate if rate > 0 else None
            self._on_progress(
                Progress(
                    self.name,
                    self.version,
                    self._serving,
                    phase,
                    done,
                    max(done, self._total),
                    rate,
                    eta,
                    self.positions,
                    seconds,
                    self._pressure.live_lag_seconds if self._pressure is not None else None,
                    next(iter(self._waits.values()), None),
                )
            )
