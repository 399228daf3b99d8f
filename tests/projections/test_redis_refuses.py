"""A Redis that is there but takes no writes is waited for: nothing is damaged, and nothing has failed."""

import pytest
from redis.asyncio import Redis

from read_model.cache import Views
from runtime.servers import ValkeyServer
from tests.projections.bench import Bench
from tests.projections.sample import Balances, BalanceViews, Deposited, FakeLog, account, fill
from tests.projections.test_redis_lane import KEYS, NAMES, agree, live_keys, view

_REFUSALS = {
    "errorstat_OOM": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "errorstat_READONLY": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
}


@pytest.mark.asyncio
async def test_a_redis_that_takes_no_writes_is_waited_for(
    bench: Bench, log: FakeLog, private_redis: ValkeyServer
) -> None:
    bench.redis_url = private_redis.url
    await fill(log, 300)
    async with Redis.from_url(bench.redis_url) as client:
        views = Views(client, KEYS)

        async def refused(kind: str) -> int:
            counted = (await client.info("errorstats")).get(kind)
            return 0 if counted is None else int(counted["count"])

        async with bench.worker(log, [Balances, BalanceViews]):
            await bench.caught_up(log, *NAMES)
            await bench.until(lambda: agree(bench, views), what="agreement")
            keys = await live_keys(client, 1)
            for kind, (refuse, accept) in _REFUSALS.items():

                async def tried_often(kind: str = kind) -> bool:
                    return await refused(kind) >= 4

                before = await view(views, 1)
                await client.execute_command(*refuse)  # type: ignore[no-untyped-call]
                await log.append(1, Deposited(account=account(1), amount=5))
                await bench.until(tried_often, what=f"the fourth {kind}")
                assert await view(views, 1) == before
                assert await bench.rows("SELECT count(*) FROM read.failures") == [(0,)]
                await client.execute_command(*accept)  # type: ignore[no-untyped-call]
                await bench.until(lambda: agree(bench, views), what="agreement")
                assert await live_keys(client, 1) == keys
