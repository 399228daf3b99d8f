"""Which worker folds which partition: leases that expire, with an epoch that fences the former holder.

Every worker takes its fair share: with P partitions and W workers alive, the n-th of them (by name) holds
P // W, and one more if n < P % W. It gives back what is too much before it takes what is missing, so after a
worker came or went the shares settle within two beats.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from projections.connections import Connection
from projections.lane import Fence

_ARRIVE = "SELECT pg_advisory_lock(hashtextextended(%s, %s))"
# Two at once may both find the same worker gone; the second then deletes and frees nothing.
_BURY = """
WITH gone AS (
    DELETE FROM read.workers WHERE lane = %(lane)s AND owner <> %(owner)s
        AND pg_try_advisory_xact_lock(hashtextextended(lane || ' ' || owner, %(seed)s)) RETURNING owner)
UPDATE read.leases l SET owner = NULL, expires_at = '-infinity'
    FROM gone WHERE l.lane = %(lane)s AND l.owner = gone.owner
"""
# Any constant: it keeps these locks apart from others.
_PRESENCE = 0x1EA5E
_BEAT = """
INSERT INTO read.workers (owner, lane) VALUES (%s, %s)
    ON CONFLICT (owner, lane) DO UPDATE SET seen_at = clock_timestamp()
"""
_ALIVE = """
SELECT owner FROM read.workers
    WHERE lane = %s AND seen_at > clock_timestamp() - make_interval(secs => %s) ORDER BY owner
"""
_RENEW = """
UPDATE read.leases SET expires_at = clock_timestamp() + make_interval(secs => %s)
    WHERE lane = %s AND owner = %s RETURNING partition, epoch
"""
# SKIP LOCKED: a row that is locked is being written under, or just being taken by another.
_CLAIM = """
UPDATE read.leases l
    SET owner = %s, epoch = epoch + 1, expires_at = clock_timestamp() + make_interval(secs => %s)
    FROM (SELECT partition FROM read.leases
            WHERE lane = %s AND (owner IS NULL OR expires_at < clock_timestamp())
            ORDER BY partition LIMIT %s FOR UPDATE SKIP LOCKED) AS free
    WHERE l.lane = %s AND l.partition = free.partition RETURNING l.partition, l.epoch
"""
_RELEASE = """
UPDATE read.leases SET owner = NULL, expires_at = '-infinity'
    WHERE lane = %s AND owner = %s AND partition = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases of one worker in one lane."""

    owner: str
    lane: str
    seconds: float

    async def prepare(self, connection: Connection, partitions: Sequence[int]) -> None:
        """Make the rows that can be leased."""
        await connection.execute(
            "INSERT INTO read.leases (partition, lane) SELECT unnest(%s::smallint[]), %s "
            "ON CONFLICT DO NOTHING",
            (list(partitions), self.lane),
        )

    async def arrive(self, connection: Connection) -> None:
        """Be known to live for as long as this connection does. Once, before the first beat."""
        await connection.execute(_ARRIVE, (f"{self.lane} {self.owner}", _PRESENCE))

    async def beat(self, connection: Connection) -> tuple[list[Fence], int]:
        """Say that we live, and renew. Returns what we hold, and by how many that is more than our share."""
        await connection.execute(_BURY, {"lane": self.lane, "owner": self.owner, "seed": _PRESENCE})
        await connection.execute(_BEAT, (self.owner, self.lane))
        alive = [
            row[0] for row in await (await connection.execute(_ALIVE, (self.lane, self.seconds))).fetchall()
        ]
        cursor = await connection.execute("SELECT count(*) FROM read.leases WHERE lane = %s", (self.lane,))
        ((total,),) = await cursor.fetchall()
        cursor = await connection.execute(_RENEW, (self.seconds, self.lane, self.owner))
        held = [
            Fence(self.lane, partition, self.owner, epoch) for partition, epoch in await cursor.fetchall()
        ]
        share, more = divmod(total, max(1, len(alive)))
        fair = share + (1 if self.owner in alive and alive.index(self.owner) < more else 0)
        return sorted(held, key=lambda fence: fence.partition), len(held) - fair

    async def claim(self, connection: Connection, count: int) -> list[Fence]:
        """Take up to `count` free or expired leases."""
        cursor = await connection.execute(_CLAIM, (self.owner, self.seconds, self.lane, count, self.lane))
        return [
            Fence(self.lane, partition, self.owner, epoch) for partition, epoch in await cursor.fetchall()
        ]

    async def release(self, connection: Connection, partitions: Collection[int]) -> None:
        """Give leases back, for others to take at once."""
        await connection.execute(_RELEASE, (self.lane, self.owner, list(partitions)))

    async def leave(self, connection: Connection) -> None:
        """Give everything back and be gone."""
        await connection.execute(
            "UPDATE read.leases SET owner = NULL, expires_at = '-infinity' WHERE lane = %s AND owner = %s",
            (self.lane, self.owner),
        )
        await connection.execute(
            "DELETE FROM read.workers WHERE owner = %s AND lane = %s", (self.owner, self.lane)
        )
