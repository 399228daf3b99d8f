"""What an operator does is kept: who, why, and through a crash."""

import asyncio
from uuid import uuid4

import pytest

from projections.connections import open_pool
from projections.jobs import Jobs
from projections.operate import pause, resume, skip
from projections.rebuild import open_workshop
from projections.status import status
from read_model.database import open_engine
from tests.projections.bench import Bench
from tests.projections.sample import POISON, Balances, Deposited, FakeLog, Picky, account, fill

pytestmark = pytest.mark.asyncio

# Of each transaction that changed one of these tables: whether its commit waits for the disk.
_WATCH = """
CREATE TABLE read.commits (what text, durable text);
GRANT ALL ON read.commits TO ccontrol_projector;
CREATE FUNCTION read.note_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO read.commits VALUES (TG_TABLE_NAME, current_setting('synchronous_commit'));
    RETURN NULL;
END $$;
CREATE TRIGGER watch AFTER UPDATE ON read.projections FOR EACH ROW EXECUTE FUNCTION read.note_commit();
CREATE TRIGGER watch AFTER INSERT ON read.skips FOR EACH STATEMENT EXECUTE FUNCTION read.note_commit();
CREATE TRIGGER watch AFTER INSERT ON read.acts FOR EACH STATEMENT EXECUTE FUNCTION read.note_commit();
CREATE TRIGGER watch AFTER INSERT ON read.jobs FOR EACH STATEMENT EXECUTE FUNCTION read.note_commit();
"""


async def test_an_act_that_was_answered_survives_a_crash(bench: Bench, log: FakeLog) -> None:
    await log.append(1, Deposited(account=account(1), amount=POISON))

    async def stopped() -> bool:
        return await bench.rows("SELECT position FROM read.failures WHERE resolved_at IS NULL") == [(1,)]

    async with bench.worker(log, [Picky]):
        await bench.until(stopped, what="the stop")
    await bench.execute(_WATCH)
    await pause(bench.database_url, "sample_picky", "looking", actor="ana")
    await resume(bench.database_url, "sample_picky", actor="ana")
    async with bench.worker(log, [Picky]):
        await bench.until(stopped, what="the stop")
        await skip(bench.database_url, "sample_picky", 1, 1, reason="damaged", actor="ana")
    async with open_workshop(bench.database_url, bench.redis_url, log, projections=[Picky]) as workshop:
        await workshop.rebuild("sample_picky")
    async with open_pool(bench.database_url, size=1) as pool:
        await Jobs(pool).add(uuid4(), "compare", "sample_picky", {}, "ana")
    assert await bench.rows("SELECT DISTINCT what, durable FROM read.commits ORDER BY 1") == [
        ("acts", "on"),
        ("jobs", "on"),
        ("projections", "on"),
        ("skips", "on"),
    ]


async def test_who_paused_and_resumed_it_and_why_is_kept(bench: Bench, log: FakeLog) -> None:
    await fill(log, 10)
    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
    await pause(bench.database_url, "sample_balances", "looking", actor="ana")
    await resume(bench.database_url, "sample_balances", actor="bia", reason="seen enough")
    engine = open_engine(bench.database_url, pool_size=1)
    (found,) = await status(engine, log, projections=[Balances])
    await engine.dispose()
    assert [(act.act, act.reason, act.actor) for act in found.acts] == [
        ("pause", "looking", "ana"),
        ("resume", "seen enough", "bia"),
    ]


async def test_opposite_acts_at_once_leave_what_the_last_one_wanted(bench: Bench, log: FakeLog) -> None:
    await fill(log, 10)
    async with bench.worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
        for _ in range(5):
            await asyncio.gather(
                *(pause(bench.database_url, "sample_balances", "a", actor="ana") for _ in range(3)),
                *(resume(bench.database_url, "sample_balances", actor="bia") for _ in range(3)),
            )
        ((last, paused, reason),) = await bench.rows(
            "SELECT (SELECT act FROM read.acts ORDER BY act_id DESC LIMIT 1), paused, reason "
            "FROM read.projections"
        )
        assert (last == "pause", paused, reason) == (paused, last == "pause", "a" if paused else None)
        await resume(bench.database_url, "sample_balances", actor="bia")
        await fill(log, 10, seed=2)
        await bench.caught_up(log, "sample_balances")
