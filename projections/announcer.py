"""Tells those who wait that checkpoints have moved."""

import asyncio

from projections.bookkeeping import CHECKPOINTS_CHANNEL, EVERY_PARTITION
from projections.connections import Connection, connect, is_transient, stop_if_cancelled


class Announcer:
    """Notifies after the commit, on a connection of its own, many partitions at once.

    Never inside the transaction that wrote: NOTIFY takes a lock of the whole database to the end of the
    commit. While one notification is on its way, the next ones gather. A lost one costs its hearers a poll.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._moved: set[int] = set()
        self._wake = asyncio.Event()

    def moved(self, partition: int) -> None:
        """Checkpoints of this partition have been committed."""
        self._moved.add(partition)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with await connect(self._database_url, name="announcer") as connection:
                    while True:
                        stop_if_cancelled()
                        await self._wake.wait()
                        self._wake.clear()
                        moved, self._moved = self._moved, set()
                        await _notify(connection, ",".join(str(partition) for partition in sorted(moved)))
            except Exception as error:
                stop_if_cancelled()
                if not is_transient(error):
                    raise
                await asyncio.sleep(0.5)


async def announce_everything(connection: Connection) -> None:
    """After a promotion, a pause, a failure or a resume: let everybody look anew."""
    await _notify(connection, EVERY_PARTITION)


async def _notify(connection: Connection, payload: str) -> None:
    await connection.execute("SELECT pg_notify(%s, %s)", (CHECKPOINTS_CHANNEL, payload))
