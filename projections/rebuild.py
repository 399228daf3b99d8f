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
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

import psycopg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from projections.backoff import Backoff
from projections.building import Build, BuildFailed, OnProgress
from projections.catalogue import PROJECTIONS
from projections.comparing import compare_with_live
from projections.comparison import SAMPLE_ROWS, Comparison
from projections.connections import (
    Connection,
    Permanent,
    is_transient,
    open_pool,
    stop_if_cancelled,
)
from projections.crew import Crew, OpenLog
from projections.generations import create_indexes, create_tables, tables_of
from projections.pages import EventLog
from projections.premises import Premises, RebuildBusy
from projections.pressure import Pressure
from projections.projector import AnyProjection
from projections.promotion import (
    Generation,
    generations_of,
    is_live,
    switch,
)
from projections.pursuit import Pursuit
from projections.roster import Catalogue, read_skips, record_generation
from projections.trouble import trouble

T = TypeVar("T")

# A way back must be short: what is not folded by then is folded afterwards, while it is served.
_ROLLBACK_SECONDS = 3.0


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


class Workshop:
    """Builds generations and decides which is served; made by `open_workshop`."""

    def __init__(self, premises: Premises, crew: Crew | None = None) -> None:
        self.premises = premises
        self._crew = crew

    @property
    def catalogue(self) -> Catalogue:
        return self.premises.catalogue

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
        kind = self.premises.kind(name)
        stage = _Stage()

        async def build_and_promote() -> Outcome:
            async with self.premises.locked(name) as connection:
                if stage.build is not None and await is_live(connection, name, stage.build.generation):
                    return Outcome(name, stage.build.generation, True, stage.comparison)
                useless = await self._useless(connection, kind, anew=anew and stage.build is None)
                await self.premises.discard(connection, name, useless)
                async with Pressure(self.premises.database_url, name, commit_seconds_max) as pressure:
                    stage.build, record = build, _ = await self._open(
                        connection, kind, "building", on_progress, batch=batch, pressure=pressure
                    )
                    pursuit = Pursuit(self.premises, build, jobs=jobs, crew=self._crew)
                    if compare:
                        await pursuit.catch_up_with_live(connection)
                        await _index(connection, record, kind)
                        stage.comparison = await compare_with_live(
                            self.premises, connection, build, jobs=jobs, sample_rows=sample_rows
                        )
                    await pursuit.follow(connection)
                    await _index(connection, record, kind)
                    equal = stage.comparison is not None and stage.comparison.equal
                    allowed = promote == "always" or (promote == "equal" and equal)
                    if allowed:
                        await self._promote(connection, build, pursuit)
                return Outcome(name, build.generation, allowed, stage.comparison)

        return await _to_the_end(build_and_promote, stage)

    async def promote(self, name: str, *, jobs: int = 2, on_progress: OnProgress | None = None) -> Outcome:
        """Serve the generation that a rebuild has left waiting."""
        kind = self.premises.kind(name)
        code = (kind.version, self.catalogue.shapes[name])
        stage = _Stage()

        async def follow_and_promote() -> Outcome:
            async with self.premises.locked(name) as connection:
                if stage.build is not None and await is_live(connection, name, stage.build.generation):
                    return Outcome(name, stage.build.generation, True, None)
                known = await generations_of(connection, name)
                if not any(g.status == "building" and (g.version, g.shape) == code for g in known):
                    raise NothingBuilt(name)
                stage.build, record = build, _ = await self._open(connection, kind, "building", on_progress)
                pursuit = Pursuit(self.premises, build, jobs=jobs, crew=self._crew)
                await pursuit.follow(connection)
                await _index(connection, record, kind)
                await self._promote(connection, build, pursuit)
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
        kind = self.premises.kind(name)
        stage = _Stage()

        async def fold_and_compare() -> Comparison | None:
            async with self.premises.locked(name) as connection:
                await self.premises.discard_scratch(connection, name)
                try:
                    async with Pressure(self.premises.database_url, name, commit_seconds_max) as pressure:
                        stage.build, _ = build, _ = await self._open(
                            connection, kind, "scratch", on_progress, pressure=pressure
                        )
                        pursuit = Pursuit(self.premises, build, jobs=jobs, crew=self._crew)
                        await pursuit.catch_up_with_live(connection)
                        return await compare_with_live(
                            self.premises, connection, build, jobs=jobs, sample_rows=sample_rows
                        )
                finally:
                    await self.premises.discard_scratch(connection, name)

        return await _to_the_end(fold_and_compare, stage)

    async def rollback(self, name: str) -> int:
        """Serve the kept generation again; what is served now is kept. Returns the generation.

        It is brought forward first, as far as that goes in a moment, so that no figure jumps back.
        Where other code made it, the projection is paused: resumed, it would be rebuilt by the present code.
        """
        kind = self.premises.kind(name)
        async with self.premises.locked(name) as connection:
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
        partitions = sorted(await self.premises.log.heads())
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
            self.premises.lanes[kind.lane],
            self.premises.log,
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

    async def _promote(self, connection: Connection, build: Build, pursuit: Pursuit) -> None:
        older = [g for g in await generations_of(connection, build.name) if g.status == "kept"]
        while not await switch(connection, build.name, build.generation, last_steps=pursuit.last_steps):
            await build.locate()
            await pursuit.follow(connection)
        if build.projection.lane == "redis":
            await self._serve_views(build.name, build.generation)
        await self.premises.discard(connection, build.name, older)

    async def _go_back(self, connection: Connection, kind: type[AnyProjection], target: Generation) -> None:
        """Switch to a generation of the same code, brought forward as far as that goes in a moment."""
        build = Build(
            self.premises.lanes[kind.lane],
            self.premises.log,
            self.catalogue.folders[kind.name],
            target.generation,
            sorted(await self.premises.log.heads()),
            await read_skips(connection),
            None,
            serving=target.version,
        )
        await build.locate()
        pursuit = Pursuit(self.premises, build, jobs=2, crew=self._crew)
        with suppress(TimeoutError, BuildFailed):
            async with asyncio.timeout(_ROLLBACK_SECONDS):
                await pursuit.follow(connection)

        async def last_steps(inside: Connection) -> bool:
            # What cannot be folded stops it later, like any other event: now it has to be served.
            with suppress(Permanent, psycopg.DataError, psycopg.IntegrityError):
                await pursuit.last_steps(inside)
            return True

        await switch(connection, kind.name, target.generation, last_steps=last_steps)

    async def _serve_views(self, name: str, generation: int) -> None:
        """Readers of views see it at once; where Redis is away, as soon as the worker finds Redis again."""
        with suppress(RedisError, OSError):
            await self.premises.redis_lane.serve(name, generation)


async def _index(connection: Connection, record: Generation, kind: type[AnyProjection]) -> None:
    """Make the secondary indexes, if they are missing."""
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
            premises = Premises(database_url, pool, client, log, Catalogue(projections))
            yield Workshop(premises, crew)
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
