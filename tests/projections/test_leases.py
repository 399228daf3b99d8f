"""Who holds which partition, and how soon another has what a dead worker held."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from projections.connections import Connection, connect
from projections.leases import Leases
from tests.projections.bench import Bench

pytestmark = pytest.mark.asyncio

# Nothing below waits for it to pass.
_LONG = 3600.0
_PARTITIONS = (0, 1, 2, 3)


@pytest_asyncio.fixture
async def other(bench: Bench) -> AsyncIterator[Connection]:
    async with await connect(bench.database_url, name="leases") as connection:
        yield connection


async def at_work(bench: Bench, leases: Leases) -> Connection:
    """A worker that has taken its share, and its session."""
    connection = await connect(bench.database_url, name="leases")
    await leases.arrive(connection)
    await leases.prepare(connection, _PARTITIONS)
    _, surplus = await leases.beat(connection)
    await leases.claim(connection, -surplus)
    return connection


async def test_what_a_dead_worker_held_is_free_at_once(bench: Bench, other: Connection) -> None:
    dead = Leases("dead", "sql", _LONG)
    await (await at_work(bench, dead)).close()

    heir = Leases("heir", "sql", _LONG)
    await heir.arrive(other)

    async def all_free() -> bool:
        # The server notices the end of the session a moment later.
        held, surplus = await heir.beat(other)
        return surplus == len(held) - len(_PARTITIONS)

    await bench.until(all_free, what="the share of the dead")
    taken = await heir.claim(other, len(_PARTITIONS))
    assert {(fence.partition, fence.epoch) for fence in taken} == {(number, 2) for number in _PARTITIONS}


async def test_who_lives_keeps_its_share_and_its_lane(bench: Bench, other: Connection) -> None:
    first = await at_work(bench, Leases("first", "sql", _LONG))
    elsewhere = await at_work(bench, Leases("first", "redis", _LONG))
    second = Leases("second", "sql", _LONG)
    await second.arrive(other)

    _, surplus = await second.beat(other)

    assert surplus == -2
    assert await second.claim(other, 2) == []
    assert [
        len((await Leases("first", lane, _LONG).beat(session))[0])
        for lane, session in (("sql", first), ("redis", elsewhere))
    ] == [4, 4]
    await first.close()
    await elsewhere.close()
