"""Those we compare with, one file each. A peer that is not installed is skipped, and the output says so.

ccontrol         this product's store, the whole of its append
psycopg          no library at all: the cheapest honest INSERT into the same table
eventsourcing    the PostgreSQL recorder of the library `eventsourcing`, as it comes
eventsource-py   the PostgreSQL store of the library `eventsource-py`, as it comes

Those who project, rather than store, are in the files named `…_projection.py`.
"""

import importlib
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from benchmarks.harness import BlockingOperation, Operation, say

_MODULES = {
    "ccontrol": "benchmarks.peers.ccontrol",
    "psycopg": "benchmarks.peers.bare_psycopg",
    "eventsourcing": "benchmarks.peers.eventsourcing_recorder",
    "eventsource-py": "benchmarks.peers.eventsource_py",
}


class StorePeer(Protocol):
    """What a store must be able to do to be compared. Each method answers an operation to be measured."""

    name: str
    version: str
    does: str
    """What one append of it does and does not do, so that nobody compares apples with pears unknowingly."""

    async def open(self, url: str) -> None:
        """Make what it needs in an empty database, and connect."""
        ...

    async def close(self) -> None: ...

    def append(self, events: int) -> Operation | BlockingOperation:
        """One transaction that records so many events in a new stream."""
        ...

    def contended(self, streams: Sequence[UUID]) -> Operation | BlockingOperation:
        """One event, appended at the right version to one of these, however often that has to be tried."""
        ...

    async def counts(self, streams: Sequence[UUID]) -> list[tuple[int, int]]:
        """How many events each stream has, and its highest version (its first being 1)."""
        ...

    async def fill(self, stream: UUID, events: int) -> None:
        """Record so many events in one stream."""
        ...

    def load(self, streams: Sequence[UUID]) -> Operation | BlockingOperation:
        """Read one of these streams and fold it."""
        ...

    def catch_up(self, page: int) -> Operation | BlockingOperation:
        """Read and decode the next page of the whole log, beginning anew at its end."""
        ...


def installed(names: Sequence[str]) -> list[StorePeer]:
    """The peers that are there."""
    peers: list[StorePeer] = []
    for name in names or _MODULES:
        try:
            peers.append(importlib.import_module(_MODULES[name]).Peer())
        except ImportError as error:
            say(f"{name} is left out: {error}")
    return peers
