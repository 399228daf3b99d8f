"""What the two lanes, SQL and Redis, have in common: who follows what, and how a page is applied."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from projections.connections import Permanent, is_transient
from projections.fold import Folder
from write_model.message import Recorded


class LeaseLost(Exception):
    """Another worker folds this partition now."""


class CheckpointMoved(Exception):
    """The checkpoint is not where this process believes: read it again."""


class EventRefused(Permanent):
    """This event cannot be folded, or its rows cannot be stored; the cause says why."""

    def __init__(self, recorded: Recorded) -> None:
        super().__init__(f"{recorded.topic} at position {recorded.position} of {recorded.partition}")
        self.recorded = recorded


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof of who may fold a partition; checked inside every transaction that writes."""

    lane: str
    partition: int
    owner: str
    epoch: int


@dataclass(slots=True)
class Follower:
    """One generation of one projection on one partition, and how far it is."""

    folder: Folder
    generation: int
    partition: int
    fence: Fence | None
    position: int = 0
    skipped: Collection[int] = ()
    # Redis only: the set of keys being written, and whether it is complete enough to be read.
    keys: str = ""
    served: bool = True

    @property
    def name(self) -> str:
        return self.folder.projection.name


class Lane(Protocol):
    """Where folded events go."""

    gather_seconds: float
    """How long the first new event may wait for the next ones."""

    async def locate(self, followers: Sequence[Follower], head: int) -> None:
        """Set the positions of followers of one partition to those of their stored checkpoints."""
        ...

    async def apply(self, follower: Follower, events: Sequence[Recorded], *, at_head: bool) -> None:
        """Fold and store these events and the checkpoint behind them, all or nothing."""
        ...

    async def apply_all(
        self, followers: Sequence[Follower], events: Sequence[Recorded], *, at_head: bool
    ) -> None:
        """The same for several followers of one partition that are at one position, in one go."""
        ...

    async def verify(self, followers: Sequence[Follower]) -> None:
        """When there is nothing to do: raise CheckpointMoved if what is stored has been lost meanwhile."""
        ...

    async def advance(
        self, followers: Sequence[Follower], position: int, recorded_at: datetime | None, *, at_head: bool
    ) -> None:
        """Move checkpoints over events that mean nothing to these followers of one partition."""
        ...


async def apply_or_blame(
    lane: Lane, follower: Follower, events: Sequence[Recorded], *, at_head: bool
) -> None:
    """Apply these events; where that fails, those before the one to blame, and raise EventRefused for it."""
    try:
        await lane.apply(follower, events, at_head=at_head)
        return
    except (LeaseLost, CheckpointMoved):
        raise
    except Exception as error:
        if is_transient(error):
            raise
        if len(events) == 1:
            raise EventRefused(events[0]) from error
    half = len(events) // 2
    await apply_or_blame(lane, follower, events[:half], at_head=False)
    await apply_or_blame(lane, follower, events[half:], at_head=False)
