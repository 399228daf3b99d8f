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
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis
from redis.exceptions import RedisError

from projections.backoff import Backoff
from projections.building import BUILD_EVENTS, Build, BuildFailed, OnProgress
from projections.catalogue import PROJECTIONS
from projections.comparison import SAMPLE_ROWS, Comparison, Side, compare_table
from projections.connections import (
    Connection,
    Permanent,
    connect,
    is_transient,
    open_pool,
    stop_if_cancelled,
)
from projections.crew import Crew, HelperDied, OpenLog, Share, shared_out
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
    is_live,
    live_positions,
    positions_of,
    switch,
)
from projections.redis_comparison import compare_views
from projections.redis_lane import RedisLane
from projections.roster import REBUILD_LOCK, Catalogue, read_skips, record_generation
from projections.sql_lane import SqlLane, apply_through
from projections.trouble import trouble
from read_model.cache import Keys

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_FOLLOW_ROUNDS = 1000
# A process needs a second to start.
_HELPED_FROM_EVENTS = 20_000
# One that dies again and again without getting any further kills itself.
_HELPER_DEATHS_MAX = 3
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


@dataclass(slots=True)
class _Stage:
    """What is known already when an act has to be begun once more."""

    build: Build | None = None
    comparison: Comparison | None = None


async def _to_the_end(act: Callable[[], Awaitable[T]], stage: _Stage) -> T:
    """Do it; once it has begun to build, wait out what troubles the database or Redis, and do it again.

    The lock goes with its connection. Until the server has noticed, our own lock keeps us out; should another
    one have taken it meanwhile, its work is gone on with.
    """
    backoff = Backoff()
    while True:
        try:
            return await act()
        except Exception as error:
            stop_if_cancelled()
            if stage.build is None or not (is_transient(error) or isinstance(error, RebuildBusy)):
                raise
            if is_transient(error):
                stage.build.waits(min(stage.build.followers), trouble(error), "wait")
            await asyncio.sleep(backoff.failed())


@asynccontextmanager
async def _unhurried(connection: Connection) -> AsyncIterator[None]:
    """Both sides of a comparison wait for each other inside of a transaction, and keep nobody out."""
    await connection.execute("SET idle_in_transaction_session_timeout = 0")
    try:
        yield
    finally:
        if not connection.closed:
            await connection.execute("RESET idle_in_transaction_session_timeout")


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
        self._redis_lane = RedisLane(redis, pool, Keys(log.installation, log.epoch))

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

        An unfinished generation of the same code is gone on with, unless it is to be built `anew`. Once it
        has begun, a database or Redis that cannot do what it is asked is waited for.
        """
        kind = self._kind(name)
        stage = _Stage()

        async def build_and_promote() -> Outcome:
            async with self._locked(name) as connection:
                if stage.build is not None and await is_live(connection, name, stage.build.generation):
                    return Outcome(name, stage.build.generation, True, stage.comparison)
                useless = await self._useless(connection, kind, anew=anew and stage.build is None)
                await self._discard(connection, name, useless)
                async with Pressure(self._database_url, name, commit_seconds_max) as pressure:
                    stage.build, record = build, _ = await self._open(
                        connection, kind, "building", on_progress, batch=batch, pressure=pressure
                    )
                    if compare:
                        await self._catch_up_with_live(connection, build, jobs)
                        await self._index(connection, kind, build, record)
                        stage.comparison = await self._compare(connection, kind, build, jobs, sample_rows)
                    await self._follow(connection, build, jobs)
                    await self._index(connection, kind, build, record)
                    equal = stage.comparison is not None and stage.comparison.equal
                    allowed = promote == "always" or (promote == "equal" and equal)
                    if allowed:
                        await self._promote(connection, kind, build, jobs)
                return Outcome(name, build.generation, allowed, stage.comparison)

        return await _to_the_end(build_and_promote, stage)

    async def promote(self, name: str, *, jobs: int = 2, on_progress: OnProgress | None = None) -> Outcome:
        """Serve the generation that a rebuild has left waiting."""
        kind = self._kind(name)
        code = (kind.version, self.catalogue.shapes[name])
        stage = _Stage()

        async def follow_and_promote() -> Outcome:
            async with self._locked(name) as connection:
                if stage.build is not None and await is_live(connection, name, stage.build.generation):
                    return Outcome(name, stage.build.generation, True, None)
                known = await generations_of(connection, name)
                if not any(g.status == "building" and (g.version, g.shape) == code for g in known):
                    raise NothingBuilt(name)
                stage.build, record = build, _ = await self._open(connection, kind, "building", on_progress)
                await self._follow(connection, build, jobs)
                await self._index(connection, kind, build, record)
                await self._promote(connection, kind, build, jobs)
                return Outcome(name, build.generation, True, None)

        return await _to_the_end(follow_and_promote, stage)

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
        stage = _Stage()

        async def fold_and_compare() -> Comparison | None:
            async with self._locked(name) as connection:
                await self._discard_scratch(connection, name)
                try:
                    async with Pressure(self._database_url, name, commit_seconds_max) as pressure:
                        stage.build, _ = build, _ = await self._open(
                            connection, kind, "scratch", on_progress, pressure=pressure
                        )
                        await self._catch_up_with_live(connection, build, jobs)
                        return await self._compare(connection, kind, build, jobs, sample_rows)
                finally:
                    await self._discard_scratch(connection, name)

        return await _to_the_end(fold_and_compare, stage)

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
                await self._serve_views(name, target.generation)
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

    async def forget_keys(self) -> None:
        """Delete what is left in Redis of generations there are none of any more."""
        found = await self._redis_lane.generations()
        async with await connect(self._database_url, name="rebuild") as connection:
            for name in found.keys() & self.catalogue.kinds.keys():
                known = {generation.generation for generation in await generations_of(connection, name)}
                await self._redis_lane.remove(name, found[name] - known)

    async def forget_scratch(self) -> None:
        """Drop what comparisons have left behind that were killed."""
        async with await connect(self._database_url, name="rebuild", patient=True) as connection:
            cursor = await connection.execute(
                "SELECT DISTINCT projection FROM read.generations WHERE status = 'scratch'"
            )
            names = [name for (name,) in await cursor.fetchall() if name in self.catalogue.kinds]
        for name in names:
            with suppress(RebuildBusy):
                async with self._locked(name) as connection:
                    await self._discard_scratch(connection, name)

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
        deaths = 0
        while True:
            parts = shared_out(build.positions, targets, jobs)
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
        async with (
            await connect(self._database_url, name="comparison", patient=True) as snapshot,
            _unhurried(snapshot),
            _unhurried(connection),
        ):
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
            await self._serve_views(kind.name, build.generation)
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

    async def _serve_views(self, name: str, generation: int) -> None:
        """Readers of views see it at once; where Redis is away, as soon as the worker finds Redis again."""
        with suppress(RedisError, OSError):
            await self._redis_lane.serve(name, generation)

    async def _discard(self, connection: Connection, name: str, doomed: Sequence[Generation]) -> None:
        await discard(connection, name, doomed)
        if self._kind(name).lane == "redis":
            # What cannot be deleted now is deleted with all that no generation has any more.
            with suppress(RedisError, OSError):
                await self._redis_lane.remove(name, [g.generation for g in doomed])

    async def _discard_scratch(self, connection: Connection, name: str) -> None:
        scratch = [g for g in await generations_of(connection, name) if g.status == "scratch"]
        await self._discard(connection, name, scratch)

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
