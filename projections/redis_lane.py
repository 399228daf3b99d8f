"""The Redis lane: fields and checkpoint change in one script, and only when the checkpoint is as expected.

Redis holds nothing that cannot be folded again. When it is found empty, foreign or damaged, the projection
starts over in a new set of keys, which is served only once it is complete; until then, SQL answers.
"""

import secrets
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from projections.batch import RedisBatch
from projections.connections import Connection
from projections.fold import HandlerFailed
from projections.lane import CheckpointMoved, Follower
from read_model.cache import CHANGED_AT, CHECK, CHECK_OF, Keys, position_of, text_of
from write_model.message import Recorded

# A page that damages the key set again and again is no damage: its fields do not take these operations.
_DAMAGES_MAX = 3
_MIRROR_SECONDS = 0.25

# ARGV: name of a new key set, head of the log, generation or '' when it is not the served one.
# Answers: key set, position, whether it is served.
_OPEN = """
local meta = KEYS[1]
if redis.pcall('TYPE', meta)['ok'] ~= 'hash' then redis.call('DEL', meta) end
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3]) end
for _, role in ipairs({'live', 'building'}) do
    local keys = redis.call('HGET', meta, role)
    if keys then
        local position = redis.call('HGET', meta, 'at:' .. keys)
        if position and string.match(position, '^%d+$') and tonumber(position) <= tonumber(ARGV[2]) then
            return {keys, position, role == 'live' and 1 or 0}
        end
    end
end
redis.call('DEL', meta)
redis.call('HSET', meta, 'building', ARGV[1], 'at:' .. ARGV[1], '0', 'views:' .. ARGV[1], '0')
return {ARGV[1], '0', 0}
"""

# ARGV: prefix, key set, expected position, position, '1' at the head, when the last event was recorded or '',
# then for each view: its name, how many
# operations, and the operations as sign, field, value. A script is not undone when it fails half way, so on
# any surprise it gives up the whole key set: a reader then finds nothing, and the projection starts over.
_APPLY = f"""{CHECK}
local meta, prefix, keys = KEYS[1], ARGV[1], ARGV[2]
local function failed(answer) return type(answer) == 'table' and answer.err end
local stored = redis.pcall('HGET', meta, 'at:' .. keys)
if failed(stored) then
    redis.call('DEL', meta)
    return {{'lost', stored.err}}
end
if not stored then return {{'lost', 'no checkpoint'}} end
if stored ~= ARGV[3] then return {{'moved', stored}} end
local function damaged(why)
    redis.call('DEL', meta)
    return {{'damaged', why}}
end
-- Full, read-only, not saving: Redis says so before the first write of a script, so nothing is half done.
local function refused(why)
    local code = string.match(why, '^%-?(%u+)')
    return code ~= 'WRONGTYPE' and code ~= 'ERR'
end
local function operate(key, sign, field, value)
    local mark = '~' .. field
    if sign == '-' then return redis.pcall('HDEL', key, field, mark) end
    if sign == '+' then
        -- Nothing is added to a figure that somebody else has written.
        local before = redis.call('HMGET', key, field, mark)
        local wanted = before[1] and check(key, field, before[1])
        if before[2] ~= wanted then return {{err = 'ERR ' .. field .. ' is not what was written'}} end
    end
    local answer = redis.pcall(sign == '+' and 'HINCRBY' or 'HSET', key, field, value)
    if failed(answer) then return answer end
    -- As text: the number that HINCRBY answers loses its last digits here.
    if sign == '+' then value = redis.call('HGET', key, field) end
    return redis.pcall('HSET', key, mark, check(key, field, value))
end
local registry, i = prefix .. keys .. ':views', 7
local count = tonumber(redis.call('HGET', meta, 'views:' .. keys) or '0')
if i <= #ARGV and redis.pcall('HLEN', registry) ~= count then return damaged('the list of views') end
while i <= #ARGV do
    local view, operations = ARGV[i], tonumber(ARGV[i + 1])
    local key = prefix .. keys .. ':v:' .. view
    i = i + 2
    local known, seen = redis.pcall('HGET', registry, view), redis.pcall('HGET', key, '@')
    if failed(known) or failed(seen) or known ~= seen then return damaged('view ' .. view) end
    if known and (tonumber(known) or math.huge) > tonumber(stored) then return damaged('view ' .. view) end
    if not known then
        if redis.call('EXISTS', key) == 1 then return damaged('view ' .. view) end
        count = count + 1
    end
    for _ = 1, operations do
        local answer = operate(key, ARGV[i], ARGV[i + 1], ARGV[i + 2])
        if failed(answer) and refused(answer.err) then return redis.error_reply(answer.err) end
        if failed(answer) then return damaged(answer.err) end
        i = i + 3
    end
    redis.call('HSET', key, '@', ARGV[4])
    redis.call('HSET', registry, view, ARGV[4])
end
redis.call('HSET', meta, 'at:' .. keys, ARGV[4], 'views:' .. keys, count)
if ARGV[6] ~= '' then redis.call('HSET', meta, 'when:' .. keys, ARGV[6]) end
if ARGV[5] == '1' and redis.call('HGET', meta, 'building') == keys then
    redis.call('HSET', meta, 'live', keys)
    redis.call('HDEL', meta, 'building')
    return {{'complete', ''}}
end
return {{'done', ''}}
"""

_MIRROR = """
UPDATE read.checkpoints c SET position = u.position, event_recorded_at = coalesce(%s, c.event_recorded_at),
        updated_at = clock_timestamp()
    FROM unnest(%s::text[], %s::integer[], %s::bigint[]) AS u (name, generation, position)
    WHERE c.projection = u.name AND c.generation = u.generation AND c.partition = %s
"""


class KeySet(NamedTuple):
    """What the keys begin with, and the position they are at."""

    prefix: str
    position: int


class ViewRefused(Exception):
    """A view cannot take an operation, however often it is built anew."""


class RedisLane:
    """Applies pages to Redis, and copies the checkpoints to SQL for those who watch."""

    # Nobody waits for a view: a reader with a token that is newer is answered by the SQL twin.
    gather_seconds = 0.02

    def __init__(self, client: "Redis", pool: AsyncConnectionPool[Connection], keys: Keys) -> None:
        self._client = client
        self._pool = pool
        self._keys = keys
        self._open: Any = client.register_script(_OPEN)
        self._apply: Any = client.register_script(_APPLY)
        self._damages: Counter[tuple[str, int, int, int]] = Counter()
        self._mirrored_at: dict[int, float] = {}
        self._unmirrored: set[int] = set()

    async def locate(self, followers: Sequence[Follower], head: int) -> None:
        """Find the key set to go on with; without a good one, begin a new one at position 0."""
        for follower in followers:
            served = str(follower.generation) if follower.fence is not None else ""
            keys, position, live = await self._open(
                keys=[self._prefix(follower) + "meta", self._keys.generation(follower.name)],
                args=[secrets.token_hex(4), head, served],
            )
            follower.keys = text_of(keys)
            follower.position = int(position)
            follower.served = bool(live)
        await self._mirror(followers, None)

    async def apply(self, follower: Follower, events: Sequence[Recorded], *, at_head: bool) -> None:
        """One script: check, views, checkpoint."""
        await self.apply_all([follower], events, at_head=at_head)

    async def apply_all(
        self, followers: Sequence[Follower], events: Sequence[Recorded], *, at_head: bool
    ) -> None:
        """A script for each, all in one round trip; each is whole by itself."""
        try:
            batches = []
            for follower in followers:
                batch = RedisBatch()
                follower.folder.fold_fields(batch, follower.folder.relevant(events, follower.skipped))
                batches.append(batch)
            await self._run(followers, (events[-1].position, events[-1].recorded_at), at_head, batches)
        except (HandlerFailed, ViewRefused):
            # The failure is going to be recorded behind this very checkpoint.
            await self._mirror(followers, None)
            raise
        await self._mirror_now_and_then(followers, events[-1].recorded_at)

    async def verify(self, followers: Sequence[Follower]) -> None:
        """An emptied or replaced Redis is noticed also where no event comes."""
        if followers[0].partition in self._unmirrored:
            await self._mirror_now_and_then(followers, None)
        async with self._client.pipeline(transaction=False) as questions:
            for follower in followers:
                questions.hmget(self._prefix(follower) + "meta", "live", f"at:{follower.keys}")
                questions.get(self._keys.generation(follower.name))
            answers: list[Any] = await questions.execute(raise_on_error=False)
        for follower, found, generation in zip(followers, answers[::2], answers[1::2], strict=True):
            wanted = [follower.keys, str(follower.position), str(follower.generation)]
            stored = [text_of(item) for item in [*found, generation]] if isinstance(found, list) else []
            if follower.served and stored != wanted:
                raise CheckpointMoved(f"{follower.name} has been lost")

    async def advance(
        self, followers: Sequence[Follower], position: int, recorded_at: datetime | None, *, at_head: bool
    ) -> None:
        """The same without fields."""
        await self._run(followers, (position, recorded_at), at_head, [RedisBatch() for _ in followers])
        await self._mirror_now_and_then(followers, recorded_at)

    async def remove(self, projection: str, generations: Iterable[int]) -> None:
        """Delete the keys of generations nobody is served from."""
        for generation in generations:
            await self._unlink(f"{self._keys.root(projection)}:g{generation}:*")

    async def generations(self) -> dict[str, set[int]]:
        """Of which generations of which projections there are keys."""
        found: dict[str, set[int]] = {}
        root = self._keys.root("")
        async for key in self._client.scan_iter(match=f"{root}*:g*:*", count=1000):
            projection, generation, _ = text_of(key).removeprefix(root).split(":", 2)
            if generation[1:].isdecimal():
                found.setdefault(projection, set()).add(int(generation[1:]))
        return found

    async def forget_former_epochs(self) -> None:
        """Delete what was folded of histories that are no more."""
        doomed: list[str] = []
        family = self._keys.family
        async for key in self._client.scan_iter(match=f"{family}*", count=1000):
            epoch = text_of(key).removeprefix(family).partition(":")[0]
            if epoch.isdecimal() and int(epoch) < self._keys.epoch:
                doomed.append(key)
        for start in range(0, len(doomed), 1000):
            await self._client.unlink(*doomed[start : start + 1000])

    async def serve(self, projection: str, generation: int) -> None:
        """Let readers see this generation from now on."""
        await self._client.set(self._keys.generation(projection), generation)

    async def peek(self, projection: str, generation: int, partition: int) -> KeySet | None:
        """The complete key set of a partition, or None; looks without touching."""
        prefix = self._keys.partition(projection, generation, partition)
        keys = await self._client.hget(prefix + "meta", "live")
        found = await self._client.hget(prefix + "meta", f"at:{text_of(keys)}") if keys else None
        position = position_of(found)
        return None if position is None else KeySet(prefix + text_of(keys), position)

    async def view_names(self, key_set: KeySet) -> set[str]:
        """The views of a key set."""
        names: Any = await self._client.hkeys(f"{key_set.prefix}:views")
        return {text_of(name) for name in names}

    async def view(self, key_set: KeySet, name: str) -> tuple[dict[str, str], int]:
        """The fields of a view, and the position at which it last changed."""
        found: Any = await self._client.hgetall(f"{key_set.prefix}:v:{name}")
        fields = {text_of(key): text_of(value) for key, value in found.items()}
        fields = {key: value for key, value in fields.items() if not key.startswith(CHECK_OF)}
        return fields, position_of(fields.pop(CHANGED_AT, "")) or 0

    async def _run(
        self,
        followers: Sequence[Follower],
        reached: tuple[int, datetime | None],
        at_head: bool,
        batches: Sequence[RedisBatch],
    ) -> None:
        position, recorded_at = reached
        when = "" if recorded_at is None else recorded_at.isoformat()
        async with self._client.pipeline(transaction=False) as calls:
            for follower, batch in zip(followers, batches, strict=True):
                prefix = self._prefix(follower)
                arguments = [
                    prefix,
                    follower.keys,
                    follower.position,
                    position,
                    "1" if at_head else "0",
                    when,
                ]
                await self._apply(keys=[prefix + "meta"], args=arguments + _operations(batch), client=calls)
            answers: list[Any] = await calls.execute()
        complaint: Exception | None = None
        for follower, (outcome, detail) in zip(followers, answers, strict=True):
            complaint = self._understood(follower, position, text_of(outcome), text_of(detail)) or complaint
        for follower, (outcome, _) in zip(followers, answers, strict=True):
            if text_of(outcome) == "complete":
                prefix = self._prefix(follower)
                await self._unlink(f"{prefix}*", keep=(prefix + "meta", prefix + follower.keys + ":"))
        if complaint is not None:
            raise complaint

    def _understood(self, follower: Follower, position: int, outcome: str, detail: str) -> Exception | None:
        """Move the follower, or say what is wrong with it."""
        if outcome in ("done", "complete"):
            follower.position = position
            follower.served = follower.served or outcome == "complete"
            return None
        if outcome == "damaged":
            place = (follower.name, follower.generation, follower.partition, position)
            self._damages[place] += 1
            if self._damages[place] >= _DAMAGES_MAX:
                del self._damages[place]
                return ViewRefused(detail)
        return CheckpointMoved(f"{follower.name}: {outcome} ({detail})")

    async def _mirror_now_and_then(self, followers: Sequence[Follower], recorded_at: datetime | None) -> None:
        """Only those who watch look at the copy: it is not worth a transaction for every event."""
        partition = followers[0].partition
        if time.monotonic() - self._mirrored_at.get(partition, 0.0) < _MIRROR_SECONDS:
            self._unmirrored.add(partition)
        else:
            await self._mirror(followers, recorded_at)

    async def _mirror(self, followers: Sequence[Follower], recorded_at: datetime | None) -> None:
        names = [follower.name for follower in followers]
        generations = [follower.generation for follower in followers]
        positions = [follower.position for follower in followers]
        async with self._pool.connection() as connection:
            await connection.execute(
                _MIRROR, (recorded_at, names, generations, positions, followers[0].partition)
            )

        self._unmirrored.discard(followers[0].partition)
        self._mirrored_at[followers[0].partition] = time.monotonic()

    async def _unlink(self, pattern: str, keep: tuple[str, ...] = ()) -> None:
        doomed: list[str] = []
        async for key in self._client.scan_iter(match=pattern, count=1000):
            if not keep or not text_of(key).startswith(keep):
                doomed.append(key)
            if len(doomed) >= 1000:
                await self._client.unlink(*doomed)
                doomed.clear()
        if doomed:
            await self._client.unlink(*doomed)

    def _prefix(self, follower: Follower) -> str:
        return self._keys.partition(follower.name, follower.generation, follower.partition)


def _operations(batch: RedisBatch) -> list[Any]:
    views: dict[str, list[Any]] = {}
    for (view, field), delta in batch.increments.items():
        if delta:
            views.setdefault(view, []).extend(("+", field, delta))
    for (view, field), text in batch.stores.items():
        views.setdefault(view, []).extend(("=", field, text) if text is not None else ("-", field, ""))
    flat: list[Any] = []
    for view, operations in views.items():
        flat.extend((view, len(operations) // 3, *operations))
    return flat
