"""The snapshot of a question: how far it is, and what becomes of connections that died while idle."""

import asyncio
from contextlib import AsyncExitStack

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError
from sqlalchemy.ext.asyncio import AsyncEngine

from read_model.database import open_engine, reading
from read_model.freshness import reading_at
from tests.projections.bench import Bench
from tests.projections.sample import Balances, FakeLog, company, fill

pytestmark = pytest.mark.asyncio

_POOL = 4


async def test_no_question_fails_for_connections_that_died_while_they_were_idle(bench: Bench) -> None:
    engine = open_engine(bench.database_url, pool_size=_POOL)
    idle = await _backends(engine)
    await _end(bench, idle)

    assert not set(idle) & set(await _backends(engine))
    await engine.dispose()


async def test_neither_does_what_is_asked_without_a_snapshot(bench: Bench) -> None:
    engine = open_engine(bench.database_url, pool_size=_POOL)
    await _end(bench, await _backends(engine))

    async with AsyncExitStack() as open_together:
        for _ in range(_POOL):
            connection = await open_together.enter_async_context(engine.connect())
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    await engine.dispose()


async def test_a_database_that_refuses_is_not_asked_for_ever(bench: Bench) -> None:
    engine = open_engine(bench.database_url, pool_size=_POOL)

    # Refused by the database, on a connection that is well: a partition that no smallint can name.
    with pytest.raises(DataError):
        async with reading_at(engine, company(1), (), 40_000):
            pass

    assert len(await _backends(engine)) == _POOL, "no connection was lost over it"
    await engine.dispose()


async def test_a_snapshot_without_projections_stands_nowhere(bench: Bench, log: FakeLog) -> None:
    engine = open_engine(bench.database_url, pool_size=_POOL)
    async with bench.worker(log, [Balances]):
        await fill(log, 20)
        await bench.caught_up(log, "sample_balances")
    async with reading_at(engine, company(1), (), 1) as (_, nothing):
        assert nothing == {}
    async with reading_at(engine, company(1), ("sample_balances", "no_such"), 1) as (_, known):
        assert set(known) == {"sample_balances"}
        assert known["sample_balances"].position > 0
    await engine.dispose()


async def _end(bench: Bench, backends: list[int]) -> None:
    async with await psycopg.AsyncConnection.connect(bench.database_url, autocommit=True) as owner:
        await owner.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s) AS pid", (backends,))


async def _backends(engine: AsyncEngine) -> list[int]:
    """Questions asked all at once, each on a connection of its own; the server's processes that answered."""
    async with AsyncExitStack() as open_together:
        connections = await asyncio.gather(
            *[open_together.enter_async_context(reading(engine, company(1))) for _ in range(_POOL)]
        )
        return [
            (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            for connection in connections
        ]


async def test_a_transaction_of_somebody_else_on_the_same_connection_is_still_one(bench: Bench) -> None:
    engine = open_engine(bench.database_url, pool_size=1)
    async with reading(engine, company(1)):
        pass
    async with engine.connect() as connection:
        # Two statements see one value, so they are in one transaction.
        begun = [(await connection.execute(text("SELECT now()"))).scalar_one() for _ in range(2)]
        assert begun[0] == begun[1]
        await connection.rollback()
        assert (
            await connection.execute(text("SELECT current_setting('ccontrol.company', true)"))
        ).scalar_one() in (
            None,
            "",
        )
    await engine.dispose()
