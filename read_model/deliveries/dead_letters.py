"""Messages nobody could deal with, as the company they are about sees them. Row level security cuts them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_COLUMNS = """
queue, message_id, topic, error, deaths, state, first_died_at, died_at, decided_at, decided_by, reason,
convert_from(body, 'UTF8')::json
"""
# Without a topic it is no event of ours, and of no company either.
_LETTERS = text(f"""
SELECT {_COLUMNS} FROM integration.dead_letters
    WHERE topic IS NOT NULL AND (CAST(:queue AS text) IS NULL OR queue = :queue)
        AND (CAST(:state AS text) IS NULL AND state IN ('dead', 'retrying') OR state = :state)
        AND (CAST(:after_queue AS text) IS NULL OR (queue, message_id) > (:after_queue, :after_id))
    ORDER BY queue, message_id LIMIT :limit
""")  # noqa: S608  # our own column names
_LETTER = text(f"""
SELECT {_COLUMNS} FROM integration.dead_letters
    WHERE topic IS NOT NULL AND queue = :queue AND message_id = :message_id
""")  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRow:
    """An event that a queue's consumer could not deal with, why, and what was decided about it."""

    queue: str
    message_id: str
    topic: str
    error: str
    deaths: int
    state: str
    first_died_at: datetime
    died_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None
    event: Mapping[str, Any]


async def dead_letters(
    connection: AsyncConnection,
    *,
    queue: str | None,
    state: str | None,
    after: tuple[str, str] | None,
    limit: int,
) -> Sequence[LetterRow]:
    """By queue; without a state those that wait for somebody to decide."""
    after_queue, after_id = after or (None, None)
    rows = await connection.execute(
        _LETTERS,
        {"queue": queue, "state": state, "after_queue": after_queue, "after_id": after_id, "limit": limit},
    )
    return [_row(row) for row in rows]


async def dead_letter(connection: AsyncConnection, queue: str, message_id: str) -> LetterRow | None:
    """One of them."""
    row = (await connection.execute(_LETTER, {"queue": queue, "message_id": message_id})).first()
    return None if row is None else _row(row)


def _row(row: Sequence[Any]) -> LetterRow:
    return LetterRow(
        queue=row[0],
        message_id=row[1],
        topic=row[2],
        error=row[3],
        deaths=row[4],
        state=row[5],
        first_died_at=row[6],
        died_at=row[7],
        decided_at=row[8],
        decided_by=row[9],
        reason=row[10],
        event=row[11],
    )
