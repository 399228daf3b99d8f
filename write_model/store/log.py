"""The log of a partition, as projectors and auditors follow it: pages in order, dense, never skipping.

Acts as the role `ccontrol_projector`, which reads the events of every company and writes none.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from uuid import UUID

import psycopg

from write_model.message import Event, Recorded
from write_model.store import connections, epoch, topics
from write_model.store.connections import Reader, Row
from write_model.store.notifier import CHANNEL
from write_model.store.personal_data import KeyRing
from write_model.store.rows import (
    EVENT_COLUMNS,
    KEY_COLUMNS,
    SOME_EVENT_COLUMNS,
    Keys,
    all_recorded,
    keys_of,
    subjects_of,
)

POLL_SECONDS = 0.25
_RECONNECT_SECONDS = 0.5
_READERS_MAX = 4
_HEADS = "SELECT partition, position FROM ccontrol.partition_heads"
_WHICH = f"SELECT ({epoch.LATEST}), ({epoch.INSTALLATION})"
_NEWS = f"SELECT partition, position, ({epoch.LATEST}) FROM ccontrol.partition_heads"  # noqa: S608 - ours
_KEYS = (
    f"SELECT {KEY_COLUMNS} FROM ccontrol.subject_keys "  # noqa: S608 - our own column names
    "WHERE partition = %b AND company_id = ANY (%b) AND subject_id = ANY (%b)"
)


class LogDamaged(Exception):
    """A position is missing: a row was removed behind the store's back. Nothing after it may be read."""


class Log:
    """Made by `open`, used from one event loop, ended by `close`."""

    partitions: int
    epoch: int
    """As the listener heard of it last; whoever keeps something of an epoch compares."""
    installation: str
    """Which database this is, see `epoch.INSTALLATION`."""

    def __init__(self, url: str, keyring: KeyRing | None, *, readers_max: int, gather_seconds: float) -> None:
        self._url = url
        self._gather_seconds = gather_seconds
        self._ring = keyring
        self._reader = Reader(url, connections.PROJECTOR, size_max=readers_max)
        self._heads: dict[int, int] = {}
        self._moved = asyncio.Condition()
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        keyring: KeyRing | None,
        *,
        readers_max: int = _READERS_MAX,
        gather_seconds: float = 0.0,
    ) -> "Log":
        """Connect, and refuse to start when the program cannot read what may be in the store.

        Without a key ring personal texts are read as if they were erased. Who is in no hurry is woken
        every `gather_seconds` at most, for all that came in that time.
        """
        topics.load()
        log = cls(url, keyring, readers_max=readers_max, gather_seconds=gather_seconds)
        try:
            log.partitions = len(await log.heads())
            ((log.epoch, log.installation),) = await log._reader.rows(_WHICH)
        except BaseException:
            await log._reader.close()
            raise
        return log

    async def close(self) -> None:
        """Stop listening and disconnect."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        await self._reader.close()

    async def page(
        self, partition: int, after: int, limit: int, kinds: Collection[type[Event]] | None = None
    ) -> list[Recorded]:
        """The next events after a position, at most `limit`, in order and without a gap.

        With `kinds`, only events of these types are read whole; the others are UNREAD.
        """
        # The number is written into the statement, so that the planner looks at one partition only.
        place = f"ccontrol.events WHERE partition = {int(partition)} AND position > %b"
        rest = f"FROM {place} ORDER BY position LIMIT %b"
        if kinds is None:
            rows = await self._reader.rows(f"SELECT {EVENT_COLUMNS} {rest}", (after, limit))
        else:
            topics_wanted = [kind.topic for kind in kinds]
            marked = f"SELECT *, topic = ANY (%b) AS wanted {rest}"
            query = f"SELECT {SOME_EVENT_COLUMNS} FROM ({marked}) AS page"  # noqa: S608 - an int
            rows = await self._reader.rows(query, (topics_wanted, after, limit))
        page = all_recorded(rows, await self._keys(partition, rows))
        # Positions are unique and ordered, so the ends tell whether any is missing.
        if page and (page[0].position != after + 1 or page[-1].position != after + len(page)):
            raise LogDamaged(f"partition {partition} lacks an event after position {after}")
        return page

    async def head(self, partition: int) -> int:
        """The last position of a partition."""
        return (await self.heads())[partition]

    async def heads(self) -> dict[int, int]:
        """The last position of every partition."""
        return {partition: position for partition, position in await self._reader.rows(_HEADS)}  # noqa: C416

    async def wait(self, partition: int, beyond: int, timeout_seconds: float) -> None:
        """Return when the partition has an event after `beyond`, or when the time is up."""
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen(), name="log-listener")
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds), self._moved:
                await self._moved.wait_for(lambda: self._heads.get(partition, 0) > beyond)

    async def _listen(self) -> None:
        """Keep `_heads` and the epoch fresh: at each notification, and every `POLL_SECONDS` in case."""
        while True:
            try:
                connection = await connections.connect(self._url, connections.PROJECTOR)
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    while True:
                        await self._refresh(await (await connection.execute(_NEWS)).fetchall())
                        # All that arrived together are answered by one look at the heads.
                        await asyncio.sleep(self._gather_seconds)
                        async for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                            pass
            except (psycopg.Error, OSError):
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _refresh(self, rows: list[Row]) -> None:
        heads: dict[int, int] = {partition: position for partition, position, _ in rows}
        # In the middle of a restore there may be neither a head nor an epoch yet.
        self.epoch = next((number for _, _, number in rows if number is not None), self.epoch)
        if heads != self._heads:
            async with self._moved:
                self._heads = heads
                self._moved.notify_all()

    async def _keys(self, partition: int, rows: list[Row]) -> Keys:
        subjects = subjects_of(rows)
        people: set[UUID] = set().union(*subjects.values())
        if not people or self._ring is None:
            return {}
        found = await self._reader.rows(_KEYS, (partition, list(subjects), list(people)))
        return keys_of(found, self._ring)
