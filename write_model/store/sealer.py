"""Signs where each company's chain stands, so that history cannot be rewritten from there back unnoticed.

A signature helps against somebody who can change the whole database only once it is elsewhere: whoever runs
the sealer hands what `seal` returns to a place outside it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import AsyncConnection

from write_model.store.connections import SEALER, connect
from write_model.store.sealing import key_id_of, public_bytes, statement

EVENTS_MAX = 1_000
INTERVAL = timedelta(minutes=5)
"""A chain is signed when it has grown by so many events, or has grown at all in so much time."""

_LOOK_SECONDS = 10.0
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


class Sealer:
    """Signs with the key it is given. Acts as the role `ccontrol_sealer`, which reads no event."""

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

    async def run(self, handed_over: Callable[[list[Checkpoint]], Awaitable[None]]) -> None:
        """Keep signing until cancelled; every new checkpoint is handed over to be kept elsewhere."""
        while True:
            try:
                checkpoints = await self.seal_due()
            except (psycopg.Error, OSError):
                # The chain does not depend on being signed at once; the next look catches up.
                checkpoints = []
            if checkpoints:
                await handed_over(checkpoints)
            await asyncio.sleep(_LOOK_SECONDS)

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
        if checkpoints:
            async with connection.transaction(), connection.cursor() as cursor:
                await cursor.execute(
                    "INSERT INTO ccontrol.sealing_keys (key_id, public_key) VALUES (%s, %s) "
                    "ON CONFLICT DO NOTHING",
                    (self.key_id, self._public_key),
                )
                # Two sealers may look at the same moment; signatures of one statement are all the same.
                await cursor.executemany(
                    "INSERT INTO ccontrol.checkpoints VALUES (%s, %s, %s, %s, %s, %s, %s) "
                    "ON CONFLICT DO NOTHING",
                    [
                        (c.partition, c.company_id, c.length, c.hash, c.signed_at, c.key_id, c.signature)
                        for c in checkpoints
                    ],
                )
        return checkpoints
