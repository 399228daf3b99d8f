"""Bringing a build forward: behind what is served, and at last to where that is, while it is switched."""

from collections.abc import Mapping

import structlog

from projections.building import BUILD_EVENTS, Build
from projections.connections import Connection
from projections.crew import Crew, HelperDied, Share, shared_out
from projections.premises import Premises
from projections.promotion import front_of_tables, live_positions, positions_of
from projections.sql_lane import apply_through

_FOLLOW_ROUNDS = 1000
# A process needs a second to start.
_HELPED_FROM_EVENTS = 20_000
# One that dies again and again without getting any further kills itself.
_HELPER_DEATHS_MAX = 3
# Few enough to be folded while readers wait for the switch.
_LAST_EVENTS = 200

_log = structlog.get_logger(__name__)


class Pursuit:
    """One build after what goes on; `jobs` partitions are folded side by side, by a crew if there is one."""

    def __init__(self, premises: Premises, build: Build, *, jobs: int, crew: Crew | None = None) -> None:
        self._premises = premises
        self._build = build
        self._crew = crew
        self._jobs = jobs

    async def catch_up_with_live(self, connection: Connection) -> None:
        """Up to, and never beyond, what is served: only then can both be held at one position."""
        build = self._build
        for _ in range(_FOLLOW_ROUNDS):
            targets = await live_positions(connection, build.name)
            await self._fold_to(targets, "build")
            if build.behind(await live_positions(connection, build.name)) < BUILD_EVENTS:
                return

    async def follow(self, connection: Connection) -> None:
        """Up to, and never beyond, what is served beside it.

        A question that reads several projections says one position for all; so none may be switched to that
        is ahead of the others.
        """
        build = self._build
        for _ in range(_FOLLOW_ROUNDS):
            await self._fold_to(await self._destination(connection), "follow")
            if build.behind(await self._destination(connection)) < _LAST_EVENTS:
                return

    async def _destination(self, connection: Connection) -> Mapping[int, int]:
        heads = await self._premises.log.heads()
        # Views carry their own position, and each is asked by itself.
        return heads | await front_of_tables(connection) if self._build.projection.lane == "sql" else heads

    async def _fold_to(self, targets: Mapping[int, int], phase: str) -> None:
        """In processes of their own where that is worth starting them: several, with enough to do."""
        build = self._build
        build.aim(targets)
        deaths = 0
        while True:
            parts = shared_out(build.positions, targets, self._jobs)
            if self._crew is None or len(parts) < 2 or build.behind(targets) < _HELPED_FROM_EVENTS:
                break
            shares = [
                Share(
                    type(build.projection),
                    build.generation,
                    build.skips,
                    part,
                    batch=build.batch,
                    commit_seconds_max=build.commit_seconds_max,
                )
                for part in parts
            ]
            before = build.behind(targets)
            try:
                await self._crew.fold(shares, lambda at, waiting_for: build.moved(at, waiting_for, phase))
            except HelperDied as died:
                await build.locate()
                deaths = deaths + 1 if build.behind(targets) >= before else 1
                if deaths >= _HELPER_DEATHS_MAX:
                    raise
                _log.warning("rebuild_helper_died", projection=build.name, error=str(died))
        await build.fold_to(targets, jobs=self._jobs, phase=phase)

    async def last_steps(self, inside: Connection) -> bool:
        """While nobody reads or writes: to where what is served is. False when that is too far."""
        build = self._build
        in_tables = build.projection.lane == "sql"
        # Out of the database each time: an attempt that did not get its locks has been undone.
        if in_tables:
            build.place(await positions_of(inside, build.name, build.generation))
        targets = await live_positions(inside, build.name)
        if in_tables:
            targets |= await front_of_tables(inside)
        if build.behind(targets) > _LAST_EVENTS:
            return False
        for partition, follower in build.followers.items():
            missing = targets[partition] - follower.position
            if missing > 0:
                page = await self._premises.log.page(partition, follower.position, missing)
                if in_tables:
                    await apply_through(inside, follower, page)
                else:
                    await self._premises.redis_lane.apply(follower, page, at_head=True)
        return True
