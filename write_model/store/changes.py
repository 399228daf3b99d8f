"""What changed, for those who only want to know that it did: the log without decoding or deciphering it.

Acts as the role `ccontrol_projector`, because one reader serves the clients of every company. What it hands
out must be given to nobody but the company it belongs to.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from write_model.store import connections
from write_model.store.arrays import Uuids
from write_model.store.connections import Reader

_READERS_MAX = 2


@dataclass(frozen=True)
class Change:
    """An event by its place and its kind. `data` is what was recorded, personal texts still sealed."""

    position: int
    company_id: UUID
    topic: str
    version: int
    text: str

    @cached_property
    def data(self) -> dict[str, Any]:
        """The recorded fields."""
        found: dict[str, Any] = json.loads(self.text)
        return found


class Changes:
    """Made with the URL of the store, ended by `close`."""

    def __init__(self, url: str) -> None:
        self._reader = Reader(url, connections.PROJECTOR, size_max=_READERS_MAX)

    async def close(self) -> None:
        """Disconnect."""
        await self._reader.close()

    async def page(
        self, partition: int, companies: Sequence[UUID], after: int, upto: int, limit: int
    ) -> list[Change]:
        """The events of these companies behind `after`, no further than `upto`, in order."""
        # The number is written into the statement, so that the planner looks at one partition only.
        rows = await self._reader.rows(
            "SELECT position, company_id, topic, version, data FROM ccontrol.events "  # noqa: S608 - an int
            f"WHERE partition = {int(partition)} AND company_id = ANY (%b) AND position > %b "
            "AND position <= %b ORDER BY position LIMIT %b",
            (Uuids(companies), after, upto, limit),
        )
        return [Change(*row) for row in rows]
