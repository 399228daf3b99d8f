"""What work on generations is done with, and what nobody may do to one projection at the same time."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis
from redis.exceptions import RedisError

from projections.connections import Connection, connect
from projections.lane import Lane
from projections.pages import EventLog
from projections.projector import AnyProjection
from projections.promotion import Generation, discard, generations_of
from projections.redis_lane import RedisLane
from projections.roster import REBUILD_LOCK, Catalogue
from projections.sql_lane import SqlLane
from read_model.cache import Keys


class RebuildBusy(Exception):
    """Somebody else is rebuilding or comparing this projection."""


class UnknownProjection(LookupError):
    """No projection has this name."""


class Premises:
    """The log, what is made of it, and where that is kept."""

    def __init__(
        self,
        database_url: str,
        pool: AsyncConnectionPool[Connection],
        redis: "Redis",
        log: EventLog,
        catalogue: Catalogue,
    ) -> None:
        self.database_url = database_url
        self.log = log
        self.catalogue = catalogue
        self.redis_lane = RedisLane(redis, pool, Keys(log.installation, log.epoch))
        self.lanes: Mapping[str, Lane] = {"sql": SqlLane(pool), "redis": self.redis_lane}

    def kind(self, name: str) -> type[AnyProjection]:
        """The projection of this name. Raises UnknownProjection."""
        try:
            return self.catalogue.kinds[name]
        except KeyError:
            raise UnknownProjection(name) from None

    @asynccontextmanager
    async def locked(self, name: str) -> AsyncIterator[Connection]:
        """A connection that holds the advisory lock of the projection; with the connection it goes."""
        async with await connect(self.database_url, name="rebuild", patient=True) as connection:
            cursor = await connection.execute(
                "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (REBUILD_LOCK, name)
            )
            if await cursor.fetchone() != (True,):
                raise RebuildBusy(name)
            await self.catalogue.register(connection, await self.log.heads())
            yield connection

    async def discard(self, connection: Connection, name: str, doomed: Sequence[Generation]) -> None:
        """Drop these generations, in tables and in Redis."""
        await discard(connection, name, doomed)
        if self.kind(name).lane == "redis":
            # What cannot be deleted now is deleted with all that no generation has any more.
            with suppress(RedisError, OSError):
                await self.redis_lane.remove(name, [g.generation for g in doomed])

    async def discard_scratch(self, connection: Connection, name: str) -> None:
        """Drop what was only folded to be compared with."""
        scratch = [g for g in await generations_of(connection, name) if g.status == "scratch"]
        await self.discard(connection, name, scratch)
