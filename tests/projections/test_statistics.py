"""What the planner knows of tables that have just been filled."""

import pytest

from tests.projections.bench import Bench
from tests.projections.sample import Balances, Deposits, FakeLog, fill

pytestmark = pytest.mark.asyncio

_ROWS = 3_000


async def test_tables_that_grow_are_looked_through_without_waiting_for_autovacuum(
    bench: Bench, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.worker._MEASURE_SECONDS", 0.2)
    async with bench.worker(log, [Deposits, Balances]):
        await fill(log, _ROWS)
        await bench.caught_up(log, "sample_deposits", "sample_balances")

        async def known() -> bool:
            # Not last_autoanalyze, which is autovacuum's.
            rows = await bench.rows(
                "SELECT c.reltuples FROM pg_class c JOIN pg_stat_user_tables s ON s.relid = c.oid "
                "WHERE c.relname = 'sample_deposits_g1' AND s.last_analyze IS NOT NULL"
            )
            return bool(rows) and float(rows[0][0]) > _ROWS / 3

        await bench.until(known, what="the statistics")
