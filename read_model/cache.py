"""The Redis side of the read model: reading views, and where they are.

    cc:{epoch}:{projection}:generation                   the generation being served
    cc:{epoch}:{projection}:g{N}:p{partition}:meta       which key set is complete, its position and time
    …:{key set}:views                                    view → position at which it last changed
    …:{key set}:v:{view}                                 the view: a hash, with the same position in field `@`

Every answer carries the position it was built from. Whatever is missing, half built, evicted, foreign or
damaged is answered with None, and the question goes to the SQL twin; the worker mends it meanwhile.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

import redis.exceptions
from prometheus_client import Counter
from redis.asyncio import Redis

A = TypeVar("A")

CHANGED_AT = "@"
"""The field of every view that says at which position it last changed."""

# Of a position, which is a bigint.
_DIGITS_MAX = 18

_REQUESTS = Counter("ccontrol_cache_requests", "Questions asked of a Redis view", ["cache", "result"])

# One script, so that the position and the fields belong together. The keys it finds on its way are not known
# beforehand; none of them leaves the epoch and projection it was called for.
_READ = """
local generation = redis.pcall('GET', KEYS[1])
if type(generation) ~= 'string' then return false end
local prefix = ARGV[1] .. ':g' .. generation .. ':p' .. ARGV[2] .. ':'
local keys = redis.pcall('HGET', prefix .. 'meta', 'live')
if type(keys) ~= 'string' then return false end
local position = redis.pcall('HGET', prefix .. 'meta', 'at:' .. keys)
if type(position) ~= 'string' or #position > 18 or not string.match(position, '^%d+$') then return false end
local when = redis.pcall('HGET', prefix .. 'meta', 'when:' .. keys) or ''
local view = prefix .. keys .. ':v:' .. ARGV[3]
local known = redis.pcall('HGET', prefix .. keys .. ':views', ARGV[3])
local seen = redis.pcall('HGET', view, '@')
if type(known) == 'table' or known ~= seen then
    redis.pcall('DEL', prefix .. 'meta')
    return false
end
if #ARGV == 3 then return {position, when, redis.call('HGETALL', view)} end
local found = {}
for i = 4, #ARGV do
    local value = redis.call('HGET', view, ARGV[i])
    if value then
        found[#found + 1] = ARGV[i]
        found[#found + 1] = value
    end
end
return {position, when, found}
"""


@dataclass(frozen=True, slots=True)
class View:
    """The fields of a view, the position of the log they were built from, and when that was recorded."""

    position: int
    fields: Mapping[str, str]
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Built(Generic[A]):
    """An answer made of a view: it may know more than what SQL shows at the same moment, and says so."""

    answer: A
    projection: str
    position: int
    recorded_at: datetime | None


class Views:
    """Reads Redis views. `patience_seconds` is how long Redis may take before SQL is asked instead."""

    def __init__(self, client: "Redis", epoch: int, *, patience_seconds: float = 0.25) -> None:
        self._client = client
        self._epoch = epoch
        self._patience = patience_seconds
        self._read: Any = client.register_script(_READ)

    def enter(self, epoch: int) -> None:
        """Read what was built in this epoch from now on."""
        self._epoch = epoch

    async def read(
        self,
        projection: str,
        partition: int,
        view: str,
        *,
        at_least: int = 0,
        fields: Sequence[str] = (),
    ) -> View | None:
        """A view that is at least as new as `at_least`, whole or some fields of it; else None: ask SQL."""
        root = root_key(self._epoch, projection)
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._read(
                    keys=[generation_key(self._epoch, projection)], args=[root, partition, view, *fields]
                )
        except (redis.exceptions.RedisError, OSError, TimeoutError):
            _REQUESTS.labels(projection, "down").inc()
            return None
        if answer is None:
            _REQUESTS.labels(projection, "miss").inc()
            return None
        position, when, flat = answer
        if int(position) < at_least:
            _REQUESTS.labels(projection, "behind").inc()
            return None
        texts = [text_of(item) for item in cast(list[Any], flat)]
        found = dict(zip(texts[::2], texts[1::2], strict=True))
        found.pop(CHANGED_AT, None)
        _REQUESTS.labels(projection, "hit").inc()
        return View(int(position), found, _moment(text_of(when)))


def root_key(epoch: int, projection: str) -> str:
    """What every key of a projection begins with."""
    return f"cc:{epoch}:{projection}"


def generation_key(epoch: int, projection: str) -> str:
    """The key that names the generation being served."""
    return f"{root_key(epoch, projection)}:generation"


def partition_key(epoch: int, projection: str, generation: int, partition: int) -> str:
    """What the keys of one partition of one generation begin with, up to and with the colon."""
    return f"{root_key(epoch, projection)}:g{generation}:p{partition}:"


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None  # built before anybody wrote it down, or somebody wrote something else
    return None if moment.tzinfo is None else moment


def position_of(value: Any) -> int | None:
    """A position of the log as Redis keeps it, or None where it keeps something else."""
    text = text_of(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX else None


def text_of(value: Any) -> str:
    """An answer of Redis as text; what is none, garbage somebody wrote, becomes text that nothing equals."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
