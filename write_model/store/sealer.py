"""Signs where each company's chain stands, so that history cannot be rewritten from there back unnoticed.

A signature helps against somebody who can change the whole database only once it is elsewhere. So with each
checkpoint, in the same transaction, two lines are put into the outbox: one for the blob store, which the
keeper delivers, and one for the relay.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import AsyncConnection

from write_model.store.connections import SEALER, connect
from write_model.store.keeper import KEPT
from write_model.store.sealing import key_id_of, public_bytes, statement

EVENTS_MAX = 1_000
INTERVAL = timedelta(minutes=5)
"""A chain is signed when it has grown by so many events, or has grown at all in so much time."""

RELAYED = "checkpoint"
_LOOK_SECONDS = 10.0
_CLOSED_LOOK_SECONDS = 2.0
_PERIOD_CLOSED = "ledger.period_closed"
# In whose books a period was closed since the last look, and where each partition stands now.
_HEADS = "SELECT partition, position FROM ccontrol.partition_heads"
_CLOSED = """
    SELECT DISTINCT e.company_id
    FROM unnest(%s::smallint[], %s::bigint[]) AS seen(partition, position)
    JOIN ccontrol.events e ON e.partition = seen.partition AND e.position > seen.position
    WHERE e.topic = %s
"""
# What has grown since it was last signed. `%s` events are enough at once; fewer wait for the interval.
_DUE = """
    SELECT h.partition, h.company_id, h.length, h.hash
    FROM ccontrol.chain_heads h
    LEFT JOIN LATERAL (
        SELECT c.length, c.signed_at FROM ccontrol.checkpoints c
        WHERE c.partition = h.partition AND c.company_id = h.company_id
        ORDER BY c.length DESC LIMIT 1
    ) AS last ON true
    WHERE h.length >= coalesce(last.length, 0) + %s
       OR (h.length > coalesce(last.length, 0) AND coalesce(last.signed_at, '-infinity') <= %s)
"""
_ONE = (
    "SELECT partition, company_id, length, hash FROM ccontrol.chain_heads h WHERE company_id = %s AND NOT "
    "EXISTS (SELECT FROM ccontrol.checkpoints c WHERE c.partition = h.partition "
    "AND c.company_id = h.company_id AND c.length = h.length AND c.key_id = %s)"
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """So many events of this company end in this hash, says whoever holds the key."""

    partition: int
    company_id: UUID
    length: int
    hash: bytes
    signed_at: datetime
    key_id: str
    signature: bytes

    def as_json(self, public_key: bytes) -> str:
        """All that somebody needs to check it, for the outbox."""
        return json.dumps(
            {
                "company_id": str(self.company_id),
                "length": self.length,
                "hash": self.hash.hex(),
                "signed_at": self.signed_at.isoformat(),
                "key_id": self.key_id,
                "signature": self.signature.hex(),
                "public_key": public_key.hex(),
            }
        )


class Sealer:
    """Signs with the key it is given.

    Acts as the role `ccontrol_sealer`, which sees of an event only whose it is and of what topic.
    """

    def __init__(self, url: str, key: Ed25519PrivateKey, now: Callable[[], datetime]) -> None:
        self._url = url
        self._key = key
        self._now = now
        self._public_key = public_bytes(self._key)
        self.key_id = key_id_of(self._public_key)

    async def seal_due(self) -> list[Checkpoint]:
        """Sign every chain whose turn it is."""
        async with await connect(self._url, SEALER) as connection:
            found = await connection.execute(_DUE, (EVENTS_MAX, self._now() - INTERVAL))
            return await self._sign(connection, await found.fetchall())

    async def seal(self, company_id: UUID) -> Checkpoint | None:
        """Sign one company's chain now, as when a period closes; None when it is signed already."""
        async with await connect(self._url, SEALER) as connection:
            found = await connection.execute(_ONE, (company_id, self.key_id))
            signed = await self._sign(connection, await found.fetchall())
            return signed[0] if signed else None

    async def run(self) -> None:
        """Keep signing until cancelled."""
        seen: dict[int, int] = {}
        next_look = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                seen = await self.seal_closed(seen)
                if loop.time() >= next_look:
                    await self.seal_due()
                    next_look = loop.time() + _LOOK_SECONDS
            except (psycopg.Error, OSError):
                # The chain does not depend on being signed at once; the next look catches up.
                await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.sleep(_CLOSED_LOOK_SECONDS)

    async def seal_closed(self, seen: dict[int, int]) -> dict[int, int]:
        """Sign the chain of each company that closed a period behind the positions `seen`; returns the next.

        A closing before the first look needs none of this: by then its chain has grown, and is due anyway.
        """
        async with await connect(self._url, SEALER) as connection:
            heads: dict[int, int] = dict(await (await connection.execute(_HEADS)).fetchall())
            moved = [partition for partition in seen if seen[partition] < heads.get(partition, 0)]
            if moved:
                known = [seen[partition] for partition in moved]
                closed = await connection.execute(_CLOSED, (moved, known, _PERIOD_CLOSED))
                for (company_id,) in await closed.fetchall():
                    found = await connection.execute(_ONE, (company_id, self.key_id))
                    await self._sign(connection, await found.fetchall())
        return heads

    async def _sign(self, connection: AsyncConnection[Any], heads: list[tuple[Any, ...]]) -> list[Checkpoint]:
        now = self._now()
        checkpoints = [
            Checkpoint(
                partition,
                company_id,
                length,
                head,
                now,
                self.key_id,
                self._key.sign(statement(company_id, length, head)),
            )
            for partition, company_id, length, head in heads
        ]
        if not checkpoints:
            return []
        async with connection.transaction(), connection.cursor() as cursor:
            await cursor.execute(
                "INSERT INTO ccontrol.sealing_keys (key_id, public_key) VALUES (%s, %s) "
                "ON CONFLICT DO NOTHING",
                (self.key_id, self._public_key),
            )
            # Two sealers may look at the same moment: only what this one has added is its own to deliver.
            added = await cursor.execute(
                "INSERT INTO ccontrol.checkpoints "
                "SELECT partition, company_id, length, hash, %s, %s, signature "
                "FROM unnest(%s::smallint[], %s::uuid[], %s::bigint[], %s::bytea[], %s::bytea[]) "
                "AS signed(partition, company_id, length, hash, signature) "
                "ON CONFLICT DO NOTHING RETURNING company_id, length",
                (
                    now,
                    self.key_id,
                    [c.partition for c in checkpoints],
                    [c.company_id for c in checkpoints],
                    [c.length for c in checkpoints],
                    [c.hash for c in checkpoints],
                    [c.signature for c in checkpoints],
                ),
            )
            new = set(await added.fetchall())
            checkpoints = [c for c in checkpoints if (c.company_id, c.length) in new]
            await cursor.executemany(
                "INSERT INTO ccontrol.outbox (partition, company_id, kind, payload) VALUES (%s, %s, %s, %s)",
                [
                    (c.partition, c.company_id, kind, c.as_json(self._public_key))
                    for c in checkpoints
                    for kind in (RELAYED, KEPT)
                ],
            )
        return checkpoints
