"""What tests of projections do all the time: run workers, ask the database, wait."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from projections.connections import plain_url
from projections.pages import EventLog
from projections.projector import AnyProjection
from projections.worker import run
from tests.projections.sample import FakeLog


class Bench:
    """Starts workers, asks questions as the owner, and waits for things to become true."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.database_url = database_url
        self.redis_url = redis_url

    @asynccontextmanager
    async def worker(
        self,
        log: FakeLog,
        projections: Sequence[type[AnyProjection]],
        *,
        owner: str = "a",
        lease_seconds: float = 1.0,
        connections: int = 6,
    ) -> AsyncIterator[asyncio.Task[None]]:
        task = self.start(log, projections, owner=owner, lease_seconds=lease_seconds, connections=connections)
        try:
            yield task
        finally:
            task.cancel()
            _, pending = await asyncio.wait([task], timeout=10)
            if pending:
                for other in asyncio.all_tasks():
                    other.print_stack(limit=3)
                raise AssertionError("a cancelled worker went on")

    def start(
        self, log: FakeLog, projections: Sequence[type[AnyProjection]], **settings: Any
    ) -> asyncio.Task[None]:
        def open_log() -> Any:
            return log.opened()

        return asyncio.create_task(
            run(self.database_url, self.redis_url, open_log, projections=projections, **settings)
        )

    async def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """As the projector: the owner of the tables, who sees every company."""
        async with await psycopg.AsyncConnection.connect(
            plain_url(self.database_url), options="-c role=ccontrol_projector", autocommit=True
        ) as connection:
            return await (await connection.execute(query.encode(), parameters)).fetchall()

    async def execute(self, statement: str, *parameters: object) -> None:
        async with await psycopg.AsyncConnection.connect(
            plain_url(self.database_url), autocommit=True
        ) as connection:
            await connection.execute(statement.encode(), parameters)

    async def until(
        self, true: Callable[[], Awaitable[bool]], *, seconds: float = 60.0, what: str = "it"
    ) -> None:
        async def wait() -> None:
            while not await true():  # noqa: ASYNC110  # the database sets no event
                await asyncio.sleep(0.03)

        try:
            await asyncio.wait_for(wait(), seconds)
        except TimeoutError:
            raise AssertionError(f"{what} did not become true in {seconds} s") from None

    async def caught_up(self, log: EventLog, *names: str, seconds: float = 60.0) -> None:
        """Wait until the live checkpoints of these projections are at the head everywhere."""

        async def true() -> bool:
            heads = await log.heads()
            found = await self.rows(
                "SELECT c.projection, c.partition, c.position "
                "FROM read.checkpoints c JOIN read.projections p "
                "ON p.name = c.projection AND p.generation = c.generation"
            )
            at = {(name, partition): position for name, partition, position in found}
            return all(
                at.get((name, partition)) == head for name in names for partition, head in heads.items()
            )

        await self.until(true, seconds=seconds, what=f"{names} at the head")
