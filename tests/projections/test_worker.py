"""Workers fold every event exactly once, whatever is done to them."""

import pytest

from tests.projections.bench import Bench
from tests.projections.sample import Balances, Deposits, FakeLog, expected_balances, fill

pytestmark = pytest.mark.asyncio


async def balances(bench: Bench) -> dict[tuple[object, object], tuple[object, ...]]:
    rows = await bench.rows("SELECT company_id, account, balance, deposits, name FROM read.sample_balances")
    return {(row[0], row[1]): row[2:] for row in rows}


async def test_a_worker_folds_what_is_there_and_what_comes(bench: Bench, log: FakeLog) -> None:
    await fill(log, 3000)
    async with bench.worker(log, [Balances, Deposits]):
        await bench.caught_up(log, "sample_balances", "sample_deposits")
        assert await balances(bench) == expected_balances(log)
        await fill(log, 50, seed=2)
        await bench.caught_up(log, "sample_balances", "sample_deposits")
    assert await balances(bench) == expected_balances(log)
