"""Waking those who follow the log, after the commit and together.

Never inside the append: a NOTIFY holds a lock of the whole database until its transaction is flushed to
disk, and alone caps commits at a few hundred a second. A wake-up that is lost costs a moment, not an event:
every follower also looks by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psycopg

from write_model.store.arrays import OIDS, Texts, packed
from write_model.store.connections import Connection, Statement

CHANNEL = "ccontrol_events"
"""The payload is the number of the partition."""

_NOTIFY = Statement(
    b"notify",
    f"SELECT pg_notify('{CHANNEL}', number) FROM unnest($1) AS number".encode(),  # noqa: S608 - a constant
    (OIDS[Texts],),
)
# Under load one notification speaks for everything appended in this time: it costs a round trip of its own.
_PAUSE_SECONDS = 0.004
_SECONDS_MAX = 5.0


class Notifier:
    """Notifies on a connection of its own, whose transactions need not wait for the disk."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._partitions: set[int] = set()
        self._work: asyncio.Task[None] | None = None

    def wake(self, partition: int) -> None:
        """Something was appended to this partition."""
        self._partitions.add(partition)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._notify(), name="notifier")

    async def close(self) -> None:
        """Send what is due, then disconnect."""
        if self._work is not None:
            await self._work
        await self._disconnect()

    async def _notify(self) -> None:
        while self._partitions:
            due, self._partitions = self._partitions, set()
            try:
                async with asyncio.timeout(_SECONDS_MAX):
                    if self._connection is None or self._connection.closed:
                        self._connection = await self._connect()
                    await self._connection.ask(_NOTIFY, [packed(Texts(map(str, due)))])
            except (psycopg.Error, OSError, TimeoutError):
                # The followers look by themselves; the next append connects anew.
                await self._disconnect()
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()
