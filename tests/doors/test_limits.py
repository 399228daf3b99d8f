"""Attempts are counted in Redis, by all processes together, and in one process while Redis is away."""

import pytest
from redis.asyncio import Redis

from api.limits import SIGN_INS_MAX, WINDOW_SECONDS, Attempts

pytestmark = pytest.mark.asyncio


async def taken(attempts: Attempts, times: int, *who: str) -> list[int]:
    return [await attempts.take(*who) for _ in range(times)]


async def test_two_processes_count_together(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        here, there = Attempts(redis, name="x"), Attempts(redis, name="x")
        assert await taken(here, SIGN_INS_MAX, "10.0.0.1", "ana") == [0] * SIGN_INS_MAX
        assert 0 < await there.take("10.0.0.1", "ana") <= WINDOW_SECONDS
        assert await there.take("10.0.0.2", "ana") == 0
        await here.give_back("10.0.0.1", "ana")
        assert await there.take("10.0.0.1", "ana") == 0


async def test_redis_learns_no_names_and_forgets(redis_url: str) -> None:
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        await Attempts(redis, name="x").take("10.0.0.1", "pessoa@example.com")
        (key,) = await redis.keys("*")
        assert "ana" not in key
        assert 0 < await redis.ttl(key) <= WINDOW_SECONDS


async def test_garbage_in_redis_is_counted_around(redis_url: str) -> None:
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        attempts = Attempts(redis, name="x")
        await attempts.take("ana")
        (key,) = await redis.keys("*")
        await redis.set(key, "garbage")
        assert await taken(attempts, SIGN_INS_MAX + 1, "ana") != [0] * (SIGN_INS_MAX + 1)


async def test_without_redis_one_process_counts_alone() -> None:
    redis: Redis = Redis.from_url("redis://127.0.0.1:1/0")
    for attempts in (Attempts(None, name="x"), Attempts(redis, name="x")):
        found = await taken(attempts, SIGN_INS_MAX + 1, "ana")
        assert found[:-1] == [0] * SIGN_INS_MAX
        assert found[-1] > 0
        await attempts.give_back("ana")
        assert await attempts.take("ana") == 0
    await redis.aclose()
