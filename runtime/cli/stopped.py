"""Where projections have stopped, as dead letters: queue `projections.NAME`, message `PARTITION:POSITION`."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from projections.connections import Connection

Place = tuple[str, int, int]
"""A projection, a partition and a position."""

_QUEUE = "projections."
_MESSAGE = re.compile(r"([0-9]{1,5}):([0-9]{1,18})")
_FOUND = """
SELECT projection, partition, position, event_id, topic, error, tries, first_seen, last_seen, version,
        resolved_at
    FROM read.failures WHERE (%s::text IS NULL OR projection = %s) AND (%s OR resolved_at IS NULL)
    ORDER BY last_seen, projection, partition, position LIMIT %s
"""


def place_of(queue: str, message: str) -> Place | None:
    """What a letter stands for, if it is one of these."""
    found = _MESSAGE.fullmatch(message)
    if not queue.startswith(_QUEUE) or found is None:
        return None
    return queue.removeprefix(_QUEUE), int(found[1]), int(found[2])


async def listed(
    connection: "Connection", queue: str | None, *, everything: bool = False, limit: int
) -> list[dict[str, Any]]:
    """Those of a queue, or all, as letters are described; resolved ones only with `everything`."""
    from write_model.values.identifiers import encode

    if queue is not None and not queue.startswith(_QUEUE):
        return []
    name = None if queue is None else queue.removeprefix(_QUEUE)
    cursor = await connection.execute(_FOUND, (name, name, everything, limit))
    return [
        {
            "queue": _QUEUE + projection,
            "message_id": f"{partition}:{position}",
            "company_id": None,
            "topic": topic,
            "state": "dead" if resolved is None else "decided",
            "error": error,
            "deaths": tries,
            "first_died_at": first.isoformat(),
            "died_at": last.isoformat(),
            "decided_at": None if resolved is None else resolved.isoformat(),
            "decided_by": None,
            "reason": None,
            "message": {"event_id": event and encode("evt", event), "code_version": version},
        }
        for (
            projection,
            partition,
            position,
            event,
            topic,
            error,
            tries,
            first,
            last,
            version,
            resolved,
        ) in await cursor.fetchall()
    ]
