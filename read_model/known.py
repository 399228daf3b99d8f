"""The second axis of time: up to where in the log an answer looks, whatever days its facts are dated."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Table


@dataclass(frozen=True, slots=True)
class KnownAsOf:
    """As known at a position of the log, or at a moment; with neither, as known now."""

    position: int | None = None
    moment: datetime | None = None

    def within(self, table: Table) -> list[ColumnElement[bool]]:
        """The conditions on a table that has `position` and `recorded_at`."""
        conditions: list[ColumnElement[bool]] = []
        if self.position is not None:
            conditions.append(table.c.position <= self.position)
        if self.moment is not None:
            conditions.append(table.c.recorded_at <= self.moment)
        return conditions


NOW = KnownAsOf()
"""Everything this snapshot knows."""
