"""How often somebody may try: a few per minute, counted in Redis, or in this process while Redis is away."""

from collections import deque
from hashlib import sha256
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

SIGN_INS_MAX = 5
WINDOW_SECONDS = 60
_KEYS_MAX = 50_000


class Attempts:
    """Counts attempts by a key that is only kept as a hash."""

    def __init__(self, redis: Any | None, *, name: str, maximum: int = SIGN_INS_MAX) -> None:
        self._redis = redis
        self._name = name
        self._maximum = maximum
        self._here: dict[str, deque[float]] = {}

    async def take(self, *parts: str) -> int:
        """Count one more; returns how many seconds to wait, 0 when it may go on."""
        key = self._key(parts)
        if self._redis is not None:
            try:
                return await self._take_there(key)
            except (RedisError, OSError):
                pass  # better counted in one process than not at all
        return self._take_here(key)

    async def give_back(self, *parts: str) -> None:
        """It was the right person after all: forget their attempts."""
        key = self._key(parts)
        self._here.pop(key, None)
        if self._redis is not None:
            try:
                await self._redis.delete(key)
            except (RedisError, OSError):
                return

    def _key(self, parts: tuple[str, ...]) -> str:
        return f"cc:attempts:{self._name}:{sha256('|'.join(parts).encode()).hexdigest()[:32]}"

    async def _take_there(self, key: str) -> int:
        redis: Any = self._redis
        async with redis.pipeline(transaction=True) as pipeline:
            pipeline.set(key, 0, ex=WINDOW_SECONDS, nx=True)
            pipeline.incr(key)
            pipeline.ttl(key)
            _, count, left = await pipeline.execute()
        return 0 if int(count) <= self._maximum else max(int(left), 1)

    def _take_here(self, key: str) -> int:
        now = monotonic()
        if len(self._here) >= _KEYS_MAX:
            self._here.clear()
        times = self._here.setdefault(key, deque())
        while times and times[0] <= now - WINDOW_SECONDS:
            times.popleft()
        if len(times) >= self._maximum:
            return max(int(times[0] + WINDOW_SECONDS - now), 1)
        times.append(now)
        return 0
