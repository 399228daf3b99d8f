"""Which history this is. A restore of an older backup begins another one; the operator says so here.

After a restore positions are given again, to other events. Consistency tokens, ids of streams and keys in
Redis carry the epoch, so nothing that was said of the lost history is mistaken for something in this one.

An epoch is the second it was raised in, counted from 2026: a table that was restored does not know which
epochs there have been since its backup, and a number must not be given twice.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from write_model.store import connections

CHANNEL = "ccontrol_epoch"
LATEST = "SELECT max(epoch) FROM ccontrol.store_epoch"
# Nothing that is stored: a copy of the database would have the same.
INSTALLATION = (
    "SELECT 'i' || left(md5(concat_ws(':', c.system_identifier, d.oid)), 8)"
    " FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()"
)
"""Tells databases apart, for those who keep something of this one in a place that others may use as well."""
POLL_SECONDS = 1.0

_RECONNECT_SECONDS = 0.5
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_RAISE = """
INSERT INTO ccontrol.store_epoch (epoch, reason)
    SELECT greatest(max(epoch) + 1, %s), %s FROM ccontrol.store_epoch
    RETURNING epoch, started_at, reason
"""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One history of the store: since when, and why it began."""

    number: int
    started_at: datetime
    reason: str


async def raise_epoch(url: str, reason: str, now: datetime) -> Epoch:
    """Begin another epoch, and tell every process. For the login that owns the store."""
    seconds = int((now - _FIRST).total_seconds())
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
        row = await (await connection.execute(_RAISE, (seconds, reason))).fetchone()
        await connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
    if row is None:
        raise LookupError("the store has no epoch: it was never migrated")
    return Epoch(*row)


async def epochs(url: str) -> list[Epoch]:
    """Every epoch this store knows of, the present one last."""
    async with await psycopg.AsyncConnection.connect(url, connect_timeout=10) as connection:
        found = await connection.execute(
            "SELECT epoch, started_at, reason FROM ccontrol.store_epoch ORDER BY epoch"
        )
        return [Epoch(*row) for row in await found.fetchall()]


async def watch(url: str, known: int, entered: Callable[[int], None]) -> None:
    """Call `entered` with every other epoch than the one that is known, until cancelled.

    Told at once by a notification; looked up every second in case that was lost, and after every broken
    connection: no database is restored under a connection that lasts.
    """
    while True:
        try:
            async with await connections.connect(url, connections.APP) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                while True:
                    row = await (await connection.execute(LATEST)).fetchone()
                    if row is not None and row[0] is not None and row[0] != known:
                        known = row[0]
                        entered(known)
                    async for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                        pass
        except (psycopg.Error, OSError):
            await asyncio.sleep(_RECONNECT_SECONDS)
