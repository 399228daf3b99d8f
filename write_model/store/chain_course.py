"""Where a walk through the history has come to: what the next event must follow on from."""

from array import array
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import Connection

_AT_ONCE = 2_000_000


@dataclass(slots=True)
class Course:
    """The walk through one partition. Ids stand as text, as they are hashed."""

    partition: int
    dense: bool
    """Whether every position must be there: not when the events of one company are read alone."""
    last: int = 0
    lengths: dict[bytes, int] = field(default_factory=dict)
    heads: dict[bytes, bytes] = field(default_factory=dict)
    versions: dict[bytes, int] = field(default_factory=dict)
    wanted: dict[bytes, list[int]] = field(default_factory=dict)
    """At which lengths of a company's chain the hash is asked for, the longest first."""
    hashes_at: dict[tuple[UUID, int], bytes] = field(default_factory=dict)
    """The answers."""


class EventIds:
    """Whether an event id occurs twice, in eight bytes per event rather than a hundred.

    Only half of each id is kept: the random half. Two ids that agree in it are looked up, not accused.
    """

    def __init__(self) -> None:
        self._halves = array("Q")

    def add(self, ids: bytes) -> None:
        """Note ids that stand end to end, sixteen bytes each."""
        self._halves += array("Q", ids)[1::2]

    def repeated(self, connection: Connection[Any]) -> list[tuple[int, int, UUID, UUID, UUID]]:
        """Partition, position, company, stream and id of each event whose id an earlier one has."""
        if self._all_differ():
            return []
        return connection.execute(
            "SELECT partition, position, company_id, stream_id, event_id FROM (SELECT *, row_number() "
            "OVER (PARTITION BY event_id ORDER BY recorded_at, partition, position) AS occurrence "
            "FROM ccontrol.events) AS event WHERE occurrence > 1 ORDER BY partition, position"
        ).fetchall()

    def _all_differ(self) -> bool:
        # In several rounds, so that the set of a long history does not outgrow the history.
        rounds = 1 + len(self._halves) // _AT_ONCE
        if rounds == 1:
            return len(set(self._halves)) == len(self._halves)
        distinct = (
            len({half for half in self._halves if half % rounds == number}) for number in range(rounds)
        )
        return sum(distinct) == len(self._halves)
