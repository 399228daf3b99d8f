"""Rebuilding a projection online: built beside the one being served, compared with it, then switched.

    1  lock        one rebuild of a projection at a time
    2  build       a new generation from the log, in large pages, secondary indexes last
    3  compare     both held at the positions of one snapshot: counts, checksums, differing rows
    4  follow      to the head, while the old generation goes on being served and written
    5  switch      the last few events, views and generation in one transaction
    6  keep        the former generation, for an instant way back; older ones are dropped

Every page commits with its checkpoint, so what is interrupted goes on where it stopped.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from projections.building import BUILD_EVENTS, Build, BuildFailed, OnProgress
from projections.catalogue import PROJECTIONS
from projections.comparison import SAMPLE_ROWS, Comparison, Side, compare_table
from projections.connections import Connection, Permanent, connect, open_pool
from projections.crew import Crew, OpenLog, Share, shared_out
from projections.generations import create_indexes, create_tables, tables_of
from projections.lane import Lane
from projections.pages import EventLog
from projections.pressure import Pressure
from projections.projector import AnyProjection
from projections.promotion import (
    Generation,
    discard,
    front_of_tables,
    generations_of,
    live_positions,
    positions_of,
    switch,
)
from projections.redis_comparison import compare_views
from projections.redis_lane import RedisLane
from projections.roster import REBUILD_LOCK, Catalogue, read_skips, record_generation
from projections.sql_lane import SqlLane, apply_through

_FOLLOW_ROUNDS = 1000
# A process needs a second to start.
_HELPED_FROM_EVENTS = 20_000
# Few enough to be folded while readers wait for the switch.
_LAST_EVENTS = 200
# A way back must be short: what is not folded by then is folded afterwards, while it is served.
_ROLLBACK_SECONDS = 3.0
KEPT_DAYS = 7


class RebuildBusy(Exception):
    """Somebody else is rebuilding or comparing this projection."""


class UnknownProjection(LookupError):
    """No projection has this name."""


class NothingKept(LookupError):
    """There is no former generation to go back to."""


class NothingBuilt(LookupError):
    """There is no generation of the present code that waits to be served."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a rebuild. `comparison` is None where there was nothing comparable."""

    projection: str
    generation: int
    promoted: bool
    comparison: Comparison | None


Promote = Literal["always", "equal", "never"]


class Workshop:
    """Everything a rebuild needs; made by `open_workshop`."""

    def __init__(
        self,
        database_url: str,
        pool: AsyncConnectionPool[Connection],
        redis: "Redis",
        log: EventLog,
        catalogue: Catalogue,
        crew: Crew | None = None,
    ) -> None:
        self._crew = crew
        self._database_url = database_url
        self._log = log
        self.catalogue = catalogue
        self._sql_lane = SqlLane(pool)
        self._redis_lane = RedisLane(redis, pool, log.epoch)

    async def rebuild(
        self,
        name: str,
        *,
        jobs: int = 2,
        on_progress: OnProgress | None = None,
        promote: Promote = "always",
        compare: bool = True,
        batch: int | None = None,
        sample_rows: int = SAMPLE_ROWS,
        anew: bool = False,
        commit_seconds_max: float | None = None,
    ) -> Outcome:
        """Build, compare, follow, switch. With promote="equal", a difference leaves the old one in place.

        An unfinished generation of the same code is gone on with, unless it is to be built `anew`.
        """
        kind = self._kind(name)
        async with self._locked(name) as connection:
            await self._discard(connection, name, await self._useless(connection, kind, anew=anew))
            async with Pressure(self._database_url, name, commit_seconds_max) as pressure:
                build, record = await self._open(
                    connection, kind, "building", on_progress, batch=batch, pressure=pressure
                )
                comparison = None
                if compare:
                    await self._catch_up_with_live(connection, build, jobs)
                    await self._index(connection, kind, build, record)
                    comparison = await self._compare(connection, kind, build, jobs, sample_rows)
                await self._follow(connection, build, jobs)
                await self._index(connection, kind, build, record)
                allowed = promote == "always" or (
                    promote == "equal" and comparison is not None and comparison.equal
                )
                if allowed:
                    await self._promote(connection, kind, build, jobs)
            return Outcome(name, build.generation, allowed, comparison)

    async def promote(self, name: str, *, jobs: int = 2, on_progress: OnProgress | None = None) -> Outcome:
        """Serve the generation that a rebuild has left waiting."""
        kind = self._kind(name)
        code = (kind.version, self.catalogue.shapes[name])
        async with self._locked(name) as connection:
            known = await generations_of(connection, name)
            if not any(g.status == "building" and (g.version, g.shape) == code for g in known):
                raise NothingBuilt(name)
            build, record = await self._open(connection, kind, "building", on_progress)
            await self._follow(connection, build, jobs)
            await self._index(connection, kind, build, record)
            await self._promote(connection, kind, build, jobs)
            return Outcome(name, build.generation, True, None)

    async def compare(
        self,
        name: str,
        *,
        jobs: int = 2,
        on_progress: OnProgress | None = None,
        sample_rows: int = SAMPLE_ROWS,
        commit_seconds_max: float | None = None,
    ) -> Comparison | None:
        """The drift check: what is served against a fresh fold, which is thrown away."""
        kind = self._kind(name)
        async with self._locked(name) as connection:
            doomed = [g for g in await generations_of(connection, name) if g.status == "scratch"]
            await self._discard(connection, name, doomed)
            try:
                async with Pressure(self._database_url, name, commit_seconds_max) as pressure:
                    build, _ = await self._open(connection, kind, "scratch", on_progress, pressure=pressure)
                    await self._catch_up_with_live(connection, build, jobs)
                    return await self._compare(connection, kind, build, jobs, sample_rows)
            finally:
                scratch = [g for g in await generations_of(connection, name) if g.status == "scratch"]
                await self._discard(connection, name, scratch)

    async def rollback(self, name: str) -> int:
        """Serve the kept generation again; what is served now is kept. Returns the generation.

        It is brought forward first, as far as that goes in a moment, so that no figure jumps back.
        Where other code made it, the projection is paused: resumed, it would be rebuilt by the present code.
        """
        kind = self._kind(name)
        async with self._locked(name) as connection:
            kept = [g for g in await generations_of(connection, name) if g.status == "kept"]
            if not kept:
                raise NothingKept(name)
            target = kept[-1]
            if (target.version, target.shape) == (kind.version, self.catalogue.shapes[name]):
                await self._go_back(connection, kind, target)
            else:
                reason = f"rolled back to version {target.version}"
                await switch(connection, name, target.generation, pause_reason=reason)
            if kind.lane == "redis":
                await self._redis_lane.serve(name, target.generation)
            return target.generation

    async def forget_kept(self) -> None:
        """Drop the generations that have been kept for longer than anybody goes back."""
        async with await connect(self._database_url, name="rebuild", patient=True) as connection:
            cursor = await connection.execute(
                "SELECT DISTINCT k.projection FROM read.generations k "
                "JOIN read.generations g USING (projection) WHERE k.status = 'kept' AND g.status = 'live' "
                "AND g.promoted_at < clock_timestamp() - make_interval(days => %s)",
                (KEPT_DAYS,),
            )
            names = [name for (name,) in await cursor.fetchall() if name in self.catalogue.kinds]
        for name in names:
            with suppress(RebuildBusy):
                async with self._locked(name) as connection:
                    kept = [g for g in await generations_of(connection, name) if g.status == "kept"]
                    await self._discard(connection, name, kept)

    # --- steps ----------------------------------------------------------------------------------------

    async def _open(
        self,
        connection: Connection,
        kind: type[AnyProjection],
        status: str,
        on_progress: OnProgress | None,
        *,
        batch: int | None = None,
        pressure: Pressure | None = None,
    ) -> tuple[Build, Generation]:
        """The unfinished generation of the same code, if there is one; else a new one."""
        partitions = sorted(await self._log.heads())
        known = await generations_of(connection, kind.name)
        found = [g for g in known if g.status == status == "building"]
        if not found:
            number = max(g.generation for g in known) + 1
            tables = tables_of(kind)
            async with connection.transaction():
                await create_tables(connection, tables, number, indexed=False)
                await record_generation(
                    connection,
                    kind,
                    self.catalogue.shapes[kind.name],
                    number,
                    status,
                    partitions,
                    indexed=False,
                )
            found = [g for g in await generations_of(connection, kind.name) if g.generation == number]
        build = Build(
            self._lane(kind),
            self._log,
            self.catalogue.folders[kind.name],
            found[0].generation,
            partitions,
            await read_skips(connection),
            on_progress,
            serving=next(g.version for g in known if g.status == "live"),
            batch=batch,
            pressure=pressure,
        )
        await build.locate()
        return build, found[0]

    async def _useless(
        self, connection: Connection, kind: type[AnyProjection], *, anew: bool
    ) -> list[Generation]:
        """Left behind by other code, or by a comparison that was killed; `anew`, whatever is unfinished."""
        code = (kind.version, self.catalogue.shapes[kind.name])
        return [
            g
            for g in await generations_of(connection, kind.name)
            if g.status == "scratch" or (g.status == "building" and (anew or (g.version, g.shape) != code))
        ]

    async def _catch_up_with_live(self, connection: Connection, build: Build, jobs: int) -> None:
        """Up to, and never beyond, what is served: only then can both be held at one position."""
        for _ in range(_FOLLOW_ROUNDS):
            targets = await live_positions(connection, build.name)
            await self._fold_to(build, targets, jobs, "build")
            if build.behind(await live_positions(connection, build.name)) < BUILD_EVENTS:
                return

    async def _follow(self, connection: Connection, build: Build, jobs: int) -> None:
        """Up to, and never beyond, what is served beside it.

        A question that reads several projections says one position for all; so none may be switched to that
        is ahead of the others.
        """
        for _ in range(_FOLLOW_ROUNDS):
            await self._fold_to(build, await self._destination(connection, build), jobs, "follow")
            if build.behind(await self._destination(connection, build)) < _LAST_EVENTS:
                return

    async def _destination(self, connection: Connection, build: Build) -> Mapping[int, int]:
        heads = await self._log.heads()
        # Views carry their own position, and each is asked by itself.
        return heads | await front_of_tables(connection) if build.projection.lane == "sql" else heads

    async def _fold_to(self, build: Build, targets: Mapping[int, int], jobs: int, phase: str) -> None:
        """In processes of their own where that is worth starting them: several, with enough to do."""
        build.aim(targets)
        parts = shared_out(build.positions, targets, jobs)
        if self._crew is not None and len(parts) > 1 and build.behind(targets) >= _HELPED_FROM_EVENTS:
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
            await self._crew.fold(shares, lambda positions: build.moved(positions, phase))
        await build.fold_to(targets, jobs=jobs, phase=phase)

    async def _index(
        self, connection: Connection, kind: type[AnyProjection], build: Build, record: Generation
    ) -> None:
        cursor = await connection.execute(
            "SELECT indexed FROM read.generations WHERE projection = %s AND generation = %s",
            (kind.name, record.generation),
        )
        if await cursor.fetchone() != (False,):
            return
        tables = tables_of(kind)
        async with connection.transaction():
            await create_indexes(connection, tables, record.generation)
            await connection.execute(
                "UPDATE read.generations SET indexed = true WHERE projection = %s AND generation = %s",
                (kind.name, record.generation),
            )
        for name in record.tables:
            # Without statistics the first questions after the switch would be planned blindly.
            await connection.execute(f'ANALYZE read."{name}_g{record.generation}"'.encode())

    async def _compare(
        self,
        connection: Connection,
        kind: type[AnyProjection],
        build: Build,
        jobs: int,
        sample_rows: int,
    ) -> Comparison | None:
        live = next(g for g in await generations_of(connection, kind.name) if g.status == "live")
        if kind.lane == "redis":
            return await compare_views(
                self._redis_lane, live.generation, build, jobs=jobs, sample_rows=sample_rows
            )
        async with await connect(self._database_url, name="comparison", patient=True) as snapshot:
            await snapshot.set_read_only(True)
            async with snapshot.transaction():
                await snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                positions = await positions_of(snapshot, kind.name, live.generation)
                await build.fold_to(positions, jobs=jobs, phase="compare")
                if build.positions != positions:
                    return None  # what is served is behind, and a fold cannot go back
                tables = [
                    await compare_table(
                        table.name,
                        [column.name for column in table.primary_key.columns],
                        Side(snapshot, live.generation),
                        Side(connection, build.generation),
                        sample_rows=sample_rows,
                    )
                    for table in tables_of(kind)
                    if table.name in live.tables
                ]
        return Comparison(kind.name, positions, tuple(tables))

    async def _promote(
        self, connection: Connection, kind: type[AnyProjection], build: Build, jobs: int
    ) -> None:
        async def last_steps(inside: Connection) -> bool:
            return await self._last_steps(inside, kind, build)

        older = [g for g in await generations_of(connection, kind.name) if g.status == "kept"]
        while not await switch(connection, kind.name, build.generation, last_steps=last_steps):
            await build.locate()
            await self._follow(connection, build, jobs)
        if kind.lane == "redis":
            await self._redis_lane.serve(kind.name, build.generation)
        await self._discard(connection, kind.name, older)

    async def _last_steps(self, inside: Connection, kind: type[AnyProjection], build: Build) -> bool:
        """While nobody reads or writes: to where what is served is. False when that is too far."""
        # Out of the database each time: an attempt that did not get its locks has been undone.
        if kind.lane == "sql":
            build.place(await positions_of(inside, kind.name, build.generation))
        targets = await live_positions(inside, kind.name)
        if kind.lane == "sql":
            targets |= await front_of_tables(inside)
        if build.behind(targets) > _LAST_EVENTS:
            return False
        for partition, follower in build.followers.items():
            missing = targets[partition] - follower.position
            if missing > 0:
                page = await self._log.page(partition, follower.position, missing)
                if kind.lane == "sql":
                    await apply_through(inside, follower, page)
                else:
                    await self._redis_lane.apply(follower, page, at_head=True)
        return True

    async def _go_back(self, connection: Connection, kind: type[AnyProjection], target: Generation) -> None:
        """Switch to a generation of the same code, brought forward as far as that goes in a moment."""
        build = Build(
            self._lane(kind),
            self._log,
            self.catalogue.folders[kind.name],
            target.generation,
            sorted(await self._log.heads()),
            await read_skips(connection),
            None,
            serving=target.version,
        )
        await build.locate()
        with suppress(TimeoutError, BuildFailed):
            async with asyncio.timeout(_ROLLBACK_SECONDS):
                await self._follow(connection, build, jobs=2)

        async def last_steps(inside: Connection) -> bool:
            # What cannot be folded stops it later, like any other event: now it has to be served.
            with suppress(Permanent, psycopg.DataError, psycopg.IntegrityError):
                await self._last_steps(inside, kind, build)
            return True

        await switch(connection, kind.name, target.generation, last_steps=last_steps)

    async def _discard(self, connection: Connection, name: str, doomed: Sequence[Generation]) -> None:
        await discard(connection, name, doomed)
        if self._kind(name).lane == "redis":
            await self._redis_lane.remove(name, [g.generation for g in doomed])

    def _lane(self, kind: type[AnyProjection]) -> Lane:
        return self._sql_lane if kind.lane == "sql" else self._redis_lane

    def _kind(self, name: str) -> type[AnyProjection]:
        try:
            return self.catalogue.kinds[name]
        except KeyError:
            raise UnknownProjection(name) from None

    @asynccontextmanager
    async def _locked(self, name: str) -> AsyncIterator[Connection]:
        """A connection that holds the advisory lock of the projection; with the connection it goes."""
        async with await connect(self._database_url, name="rebuild", patient=True) as connection:
            cursor = await connection.execute(
                "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (REBUILD_LOCK, name)
            )
            if await cursor.fetchone() != (True,):
                raise RebuildBusy(name)
            await self.catalogue.register(connection, await self._log.heads())
            yield connection


@asynccontextmanager
async def open_workshop(
    database_url: str,
    redis_url: str,
    log: EventLog,
    *,
    projections: Sequence[type[AnyProjection]] = PROJECTIONS,
    connections: int = 4,
    open_log: OpenLog | None = None,
) -> AsyncIterator[Workshop]:
    """A workshop with connections of its own. With a picklable `open_log`, jobs are processes."""
    client: Redis = Redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=2)
    try:
        async with open_pool(database_url, size=connections, name="rebuild", patient=True) as pool:
            crew = Crew(open_log, database_url, redis_url) if open_log is not None else None
            yield Workshop(database_url, pool, client, log, Catalogue(projections), crew)
    finally:
        await client.aclose()


async def rebuild(
    name: str | None,
    *,
    database_url: str,
    redis_url: str,
    log: EventLog,
    jobs: int = 2,
    on_progress: OnProgress | None = None,
    promote: Promote = "always",
    projections: Sequence[type[AnyProjection]] = PROJECTIONS,
) -> list[Outcome]:
    """Rebuild one projection, or all of them one after the other when `name` is None."""
    async with open_workshop(database_url, redis_url, log, projections=projections) as workshop:
        names = [name] if name is not None else list(workshop.catalogue.kinds)
        return [
            await workshop.rebuild(each, jobs=jobs, on_progress=on_progress, promote=promote)
            for each in names
        ]
