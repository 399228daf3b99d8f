"""Signed heads of chains, told like events: `audit.checkpoint_signed`, that of so many events of a company.

They come from the outbox, which is written in the transaction of the signature, and not from the log. So
`position` is 0; `version` is the length of the chain, `stream_id` stands for the chain of the company. What
was signed is asked for by those who may see it.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID, uuid5

from psycopg_pool import AsyncConnectionPool

from integration.broker import Publisher
from integration.event import IntegrationEvent
from projections.connections import Connection

TOPIC = "audit.checkpoint_signed"
_KIND = "checkpoint"
_AT_ONCE = 200
# They come every few minutes; nobody waits for them.
_LOOK_SECONDS = 1.0

_UNSENT = """
SELECT id, company_id, payload FROM ccontrol.outbox
    WHERE kind = %s AND sent_at IS NULL AND partition = %s ORDER BY id LIMIT %s
"""
_WAITING = """
SELECT DISTINCT partition FROM ccontrol.outbox WHERE kind = %s AND sent_at IS NULL
"""
_SENT = """
UPDATE ccontrol.outbox SET sent_at = clock_timestamp() WHERE partition = %s AND id = ANY(%s)
"""


class SignedHeads:
    """Where any wait to be told: asked now and then, for all partitions of a process together."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool
        self._looking = asyncio.Lock()
        self._looked_at: float | None = None
        self._partitions: set[int] = set()

    async def send(self, publisher: Publisher, partition: int) -> None:
        """Tell those of a partition, if there are any. Raises PublishFailed."""
        async with self._looking:
            if self._looked_at is None or monotonic() - self._looked_at > _LOOK_SECONDS:
                async with self._pool.connection() as connection:
                    cursor = await connection.execute(_WAITING, (_KIND,))
                    self._partitions = {found for (found,) in await cursor.fetchall()}
                self._looked_at = monotonic()
        if partition in self._partitions:
            await send_signed(self._pool, publisher, partition)
            self._partitions.discard(partition)


async def send_signed(pool: AsyncConnectionPool[Connection], publisher: Publisher, partition: int) -> None:
    """Tell what has not been told; noted behind the confirm, so at least once. Raises PublishFailed."""
    while True:
        async with pool.connection() as connection:
            cursor = await connection.execute(_UNSENT, (_KIND, partition, _AT_ONCE))
            rows = await cursor.fetchall()
        if not rows:
            return
        events = {number: told(partition, company_id, payload) for number, company_id, payload in rows}
        published = await publisher.publish(list(events.values()))
        sent = [number for number, event in events.items() if event.id in published.confirmed]
        async with pool.connection() as connection:
            await connection.execute(_SENT, (partition, sent))
        if published.failure is not None:
            raise published.failure


def told(partition: int, company_id: UUID, payload: Mapping[str, Any]) -> IntegrationEvent:
    """The same id for the same signature, however often it is told."""
    chain = uuid5(company_id, "audit.chain")
    signed_at = datetime.fromisoformat(payload["signed_at"])
    return IntegrationEvent(
        id=uuid5(chain, f"{payload['length']}/{payload['hash']}/{payload['key_id']}"),
        topic=TOPIC,
        schema_version=1,
        company_id=company_id,
        stream_id=chain,
        version=payload["length"],
        partition=partition,
        position=0,
        recorded_at=signed_at,
        effective_date=signed_at.date(),
        links=(),
    )
