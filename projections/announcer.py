"""Tells those who wait which checkpoints have moved, and where to: so that they need not ask."""

import asyncio
import json
from collections.abc import Mapping, Sequence

from projections.bookkeeping import CHECKPOINTS_CHANNEL, EVERY_PARTITION
from projections.connections import Connection, connect, is_transient, stop_if_cancelled
from projections.lane import Follower

# PostgreSQL takes less than 8000.
_PAYLOAD_BYTES_MAX = 7_900


class Announcer:
    """Notifies after the commit, on a connection of its own, many partitions at once.

    Never inside the transaction that wrote: NOTIFY takes a lock of the whole database to the end of the
    commit. While one notification is on its way, the next ones gather. A lost one costs its hearers a poll.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._moved: dict[int, dict[str, tuple[int, int]]] = {}
        self._wake = asyncio.Event()

    def moved(self, followers: Sequence[Follower]) -> None:
        """The checkpoints of these followers of one partition have been committed where they are now."""
        moved = self._moved.setdefault(followers[0].partition, {})
        for follower in followers:
            moved[follower.name] = (follower.generation, follower.position)
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
                        moved, self._moved = self._moved, {}
                        await _notify(connection, _said(moved))
            except Exception as error:
                stop_if_cancelled()
                if not is_transient(error):
                    raise
                await asyncio.sleep(0.5)


def _said(moved: Mapping[int, Mapping[str, tuple[int, int]]]) -> str:
    """Who has moved where; only the partitions where that is too much for one notification."""
    whole = json.dumps({"at": moved}, separators=(",", ":"))
    if len(whole) <= _PAYLOAD_BYTES_MAX:
        return whole
    return json.dumps({"at": {partition: {} for partition in moved}})


async def announce_everything(connection: Connection) -> None:
    """After a promotion, a pause, a failure or a resume: let everybody look anew."""
    await _notify(connection, EVERY_PARTITION)


async def _notify(connection: Connection, payload: str) -> None:
    await connection.execute("SELECT pg_notify(%s, %s)", (CHECKPOINTS_CHANNEL, payload))
