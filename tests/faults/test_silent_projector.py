"""A database that goes silent under a projector: it takes what it is sent, and never answers again."""

import psycopg
import pytest

from projections import connections
from projections.bookkeeping import ensure
from tests.faults.proxy import Fault, Proxy
from tests.projections.bench import Bench
from tests.projections.sample import Balances, FakeLog, fill

pytestmark = [pytest.mark.asyncio, pytest.mark.service, pytest.mark.timeout(120)]


async def test_a_silent_database_is_noticed_and_tried_anew(
    database_url: str, wire: Proxy, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SILENCE_SECONDS_MAX", 1.0)
    await ensure(database_url)
    log, bench = FakeLog(), Bench(database_url, redis_url)
    await fill(log, 100)
    async with Bench(wire.url(database_url), redis_url).worker(log, [Balances]):
        await bench.caught_up(log, "sample_balances")
        wire.choose = lambda request: Fault.SILENCE
        await fill(log, 100, seed=2)
        await wire.has_struck(Fault.SILENCE)
        # The connections of before stay silent for ever; only new ones find the database again.
        wire.choose = lambda request: None
        await bench.caught_up(log, "sample_balances")


async def test_only_who_rebuilds_waits_for_as_long_as_it_takes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SILENCE_SECONDS_MAX", 0.2)
    async with await connections.connect(database_url) as hasty:
        with pytest.raises(psycopg.OperationalError) as given_up:
            await hasty.execute("SELECT pg_sleep(1)")
    assert connections.is_transient(given_up.value)
    async with await connections.connect(database_url, patient=True) as patient:
        assert await (await patient.execute("SELECT pg_sleep(0.4)")).fetchone() == ("",)
