"""The Redis side of the read model: reading views, and where they are.

    cc:{installation}:{epoch}:{projection}:generation    the generation being served
    …:g{N}:p{partition}:meta                             which key set is complete, its position and time,
                                                         and how many views it has
    …:{key set}:views                                    view → position at which it last changed
    …:{key set}:v:{view}                                 the view: a hash, with the same position in field
                                                         `@`, and beside each field `f` its check in `~f`

Every answer carries the position it was built from. Whatever is missing, half built, evicted, foreign or
damaged is answered with None, and the question goes to the SQL twin; the worker mends it meanwhile. A check
is a hash without a secret: it tells what others wrote or lost, not what somebody forged who has read this.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

import redis.exceptions
from prometheus_client import Counter
from redis.asyncio import Redis

A = TypeVar("A")

CHANGED_AT = "@"
"""The field of every view that says at which position it last changed."""
CHECK_OF = "~"
"""What the name of a field begins with that holds the check of another."""

# Of a position, which is a bigint.
_DIGITS_MAX = 18

_REQUESTS = Counter("ccontrol_cache_requests", "Questions asked of a Redis view", ["cache", "result"])

CHECK = """
local function check(key, field, value)
    return string.sub(redis.sha1hex(key .. '\\0' .. field .. '\\0' .. value), 1, 12)
end
"""
"""The check of a field, for scripts: it belongs to one value in one place."""

# One script, so that the position and the fields belong together. The keys it finds on its way are not known
# beforehand; none of them leaves the epoch and projection it was called for.
_READ = f"""{CHECK}
local generation = redis.pcall('GET', KEYS[1])
if type(generation) ~= 'string' then return false end
local prefix = ARGV[1] .. ':g' .. generation .. ':p' .. ARGV[2] .. ':'
local meta = prefix .. 'meta'
local keys = redis.pcall('HGET', meta, 'live')
if type(keys) ~= 'string' then return false end
local position = redis.pcall('HGET', meta, 'at:' .. keys)
if type(position) ~= 'string' or #position > {_DIGITS_MAX} or not string.match(position, '^%d+$') then
    return false
end
local when = redis.pcall('HGET', meta, 'when:' .. keys) or ''
local function damaged()
    redis.pcall('DEL', meta)
    return false
end
local registry, view = prefix .. keys .. ':views', prefix .. keys .. ':v:' .. ARGV[3]
local known, seen = redis.pcall('HGET', registry, ARGV[3]), redis.pcall('HGET', view, '@')
if type(known) == 'table' or known ~= seen then return damaged() end
if not known then
    -- There is no such view: or the list of them was lost, and the view with it.
    local count = tonumber(redis.call('HGET', meta, 'views:' .. keys))
    if redis.call('EXISTS', view) == 1 or redis.call('HLEN', registry) ~= count then return damaged() end
    return {{position, when, {{}}}}
end
-- It cannot have changed after the last event it knows.
if (tonumber(known) or math.huge) > tonumber(position) then return damaged() end
local found = {{}}
local function add(field, value, checked)
    if not value and not checked then return true end
    if not value or checked ~= check(view, field, value) then return false end
    found[#found + 1] = field
    found[#found + 1] = value
    return true
end
if #ARGV == 3 then
    local fields, flat = {{}}, redis.call('HGETALL', view)
    for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
    for field, value in pairs(fields) do
        local bare = string.match(field, '^~(.*)$')
        if bare and not fields[bare] then return damaged() end
        if field ~= '@' and not bare and not add(field, value, fields['~' .. field]) then return damaged() end
    end
    return {{position, when, found}}
end
local names = {{}}
for i = 4, #ARGV do
    names[#names + 1] = ARGV[i]
    names[#names + 1] = '~' .. ARGV[i]
end
local values = redis.call('HMGET', view, unpack(names))
for i = 1, #names, 2 do
    if not add(names[i], values[i], values[i + 1]) then return damaged() end
end
return {{position, when, found}}
"""


@dataclass(frozen=True, slots=True)
class Keys:
    """What the keys of one history begin with: another installation's are not ours, whatever they say."""

    installation: str
    epoch: int

    @property
    def family(self) -> str:
        """What the keys of every epoch of this installation begin with, up to and with the colon."""
        return f"cc:{self.installation}:"

    def root(self, projection: str) -> str:
        """What every key of a projection begins with."""
        return f"{self.family}{self.epoch}:{projection}"

    def generation(self, projection: str) -> str:
        """The key that names the generation being served."""
        return f"{self.root(projection)}:generation"

    def partition(self, projection: str, generation: int, partition: int) -> str:
        """What the keys of one partition of one generation begin with, up to and with the colon."""
        return f"{self.root(projection)}:g{generation}:p{partition}:"


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

    def __init__(self, client: "Redis", keys: "Keys", *, patience_seconds: float = 0.25) -> None:
        self._keys = keys
        self._patience = patience_seconds
        self._read: Any = client.register_script(_READ)

    def enter(self, epoch: int) -> None:
        """Read what was built in this epoch from now on."""
        self._keys = replace(self._keys, epoch=epoch)

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
        keys = self._keys
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._read(
                    keys=[keys.generation(projection)],
                    args=[keys.root(projection), partition, view, *fields],
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
        _REQUESTS.labels(projection, "hit").inc()
        return View(int(position), found, _moment(text_of(when)))


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
