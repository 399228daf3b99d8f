"""What is to be delivered, and what came of it: rows that any number of couriers share.

A courier takes rows under a lease of the database's clock; when it dies, the lease ends and another takes
them. What it writes afterwards is written only while the row is still its own. When a row is due is told by
the clock the courier was given.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from psycopg.rows import class_row

from projections.connections import Connection

PENDING_MAX: Final = 10_000
"""How many may wait for one webhook; what comes beyond is dropped, and can be redelivered."""

NO_FLOORS: Final[Mapping[UUID, datetime]] = {}

KEPT: Final = timedelta(days=30)
"""How long what came of a delivery is kept."""

# How many more may wait for each of these webhooks; and that couriers are to look for what waits for it.
_ROOM = """
WITH known AS (
    INSERT INTO integration.webhook_queues (webhook_id)
        SELECT DISTINCT unnest(%(webhooks)s::uuid[]) ORDER BY 1 ON CONFLICT DO NOTHING)
SELECT webhook_id, %(pending_max)s - (
        SELECT count(*) FROM (SELECT FROM integration.webhook_deliveries d
            WHERE d.webhook_id = w.webhook_id AND d.state = 'pending'
            LIMIT %(pending_max)s) AS pending)
    FROM (SELECT DISTINCT unnest(%(webhooks)s::uuid[]) AS webhook_id) AS w
"""
_ENQUEUE = """
WITH new AS (
    SELECT *, row_number() OVER (PARTITION BY webhook_id ORDER BY n) AS place
        FROM unnest(%(companies)s::uuid[], %(deliveries)s::uuid[], %(webhooks)s::uuid[], %(events)s::uuid[],
                %(topics)s::text[], %(positions)s::bigint[], %(bodies)s::bytea[], %(tries_max)s::int[],
                %(rooms)s::int[], %(urgent)s::bool[])
            WITH ORDINALITY
            AS u (company_id, delivery_id, webhook_id, event_id, topic, "position", body, tries_max, room,
                is_urgent, n)),
judged AS (SELECT new.*, place <= room AS has_room FROM new)
INSERT INTO integration.webhook_deliveries
    (company_id, delivery_id, webhook_id, event_id, topic, "position", body, tries_max, created_at, due_at,
     state, reason, ended_at)
    SELECT company_id, delivery_id, webhook_id, event_id, topic, "position", body, tries_max, %(now)s,
            least(%(now)s, CASE WHEN is_urgent THEN (
                SELECT d.due_at - interval '1 microsecond' FROM integration.webhook_deliveries d
                    WHERE d.webhook_id = judged.webhook_id AND d.state = 'pending'
                    ORDER BY d.due_at LIMIT 1) END),
            CASE WHEN has_room THEN 'pending' ELSE 'dropped' END,
            CASE WHEN NOT has_room THEN 'queue-full' END,
            CASE WHEN NOT has_room THEN %(now)s::timestamptz END
        FROM judged ORDER BY n
    ON CONFLICT DO NOTHING
"""
# What waits for its next try is tried now; what is on the way at this moment is left to its courier.
_REDELIVER = """
UPDATE integration.webhook_deliveries
    SET state = 'pending', reason = NULL, ended_at = NULL, tries = 0, due_at = %(now)s,
        leased_until = NULL, redelivered_by = %(position)s
    WHERE company_id = %(company_id)s AND delivery_id = %(delivery_id)s AND webhook_id = %(webhook_id)s
        AND (state <> 'pending' OR leased_until IS NULL OR leased_until < clock_timestamp())
        AND redelivered_by < %(position)s
"""
# A test is sent also while it is disabled. What is on the way at this moment is left to its courier.
_DROP = """
UPDATE integration.webhook_deliveries SET state = 'dropped', reason = %(reason)s, ended_at = %(now)s
    WHERE webhook_id = %(webhook_id)s AND company_id = %(company_id)s AND state = 'pending'
        AND greatest("position", redelivered_by) < %(position)s AND topic <> %(unless)s
        AND (leased_until IS NULL OR leased_until < clock_timestamp())
"""
# Of each webhook the few rows that are due, as many as it may have on the way, from where its first can be
# (floors.py): so neither ten thousand rows of one webhook nor what is gone of it cost the others anything. A
# lease is added only where none is: two couriers may each see room for one webhook and together go over its
# limit by what they take at the same moment.
_TAKE = """
WITH allowed AS (
    SELECT q.webhook_id, coalesce(f.floor, '-infinity') AS floor,
            CASE WHEN %(failing)s THEN 1 ELSE %(each_max)s END - (
                SELECT count(*) FROM integration.webhook_deliveries d
                WHERE d.webhook_id = q.webhook_id AND d.state = 'pending'
                    AND d.due_at >= coalesce(f.floor, '-infinity')
                    AND d.leased_until > clock_timestamp()) AS room
        FROM integration.webhook_queues q
        LEFT JOIN unnest(%(webhooks)s::uuid[], %(floors)s::timestamptz[]) AS f (webhook_id, floor)
            ON f.webhook_id = q.webhook_id
        LEFT JOIN integration.webhook_health h ON h.webhook_id = q.webhook_id
        WHERE (coalesce(h.failures, 0) >= %(failing_from)s) = %(failing)s),
chosen AS (
    SELECT n.company_id, n.delivery_id FROM allowed a CROSS JOIN LATERAL (
        SELECT d.company_id, d.delivery_id, d.due_at,
                row_number() OVER (ORDER BY d.due_at) AS turn
            FROM (SELECT company_id, delivery_id, due_at FROM integration.webhook_deliveries
                    WHERE webhook_id = a.webhook_id AND state = 'pending'
                        AND due_at >= a.floor AND due_at <= %(now)s
                        AND (leased_until IS NULL OR leased_until < clock_timestamp())
                    ORDER BY due_at LIMIT greatest(a.room, 0) FOR UPDATE SKIP LOCKED) AS d) AS n
    ORDER BY n.turn, n.due_at LIMIT %(limit)s)
UPDATE integration.webhook_deliveries d
    SET leased_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s), owner = %(owner)s,
        tries = d.tries + 1, attempts = d.attempts + 1
    FROM chosen c WHERE d.company_id = c.company_id AND d.delivery_id = c.delivery_id
    RETURNING d.company_id, d.delivery_id, d.webhook_id, d.event_id, d.topic, d.body, d.tries, d.tries_max,
        d.attempts
"""
# Nothing at all when it is somebody else's by now. A success ends what counts as failing.
_SETTLE = """
WITH settled AS (
    UPDATE integration.webhook_deliveries
        SET state = %(state)s, reason = %(reason)s, due_at = coalesce(%(due_at)s, due_at),
            ended_at = %(ended_at)s, leased_until = NULL, owner = NULL
        WHERE company_id = %(company_id)s AND delivery_id = %(delivery_id)s AND state = 'pending'
            AND owner = %(owner)s AND attempts = %(attempts)s
        RETURNING company_id, delivery_id, webhook_id, state),
noted AS (
    INSERT INTO integration.webhook_attempts
        (company_id, delivery_id, number, started_at, milliseconds, status, error, snippet)
        SELECT company_id, delivery_id, %(attempts)s, %(started_at)s, %(milliseconds)s, %(status)s,
                %(error)s, %(snippet)s
            FROM settled WHERE %(started_at)s::timestamptz IS NOT NULL
        ON CONFLICT DO NOTHING),
healed AS (
    DELETE FROM integration.webhook_health h USING settled s
        WHERE h.webhook_id = s.webhook_id AND s.state = 'delivered')
SELECT FROM settled
"""
_FAILED = """
INSERT INTO integration.webhook_health AS h (webhook_id, company_id, failures, failing_since)
    VALUES (%(webhook_id)s, %(company_id)s, 1, %(now)s)
    ON CONFLICT (webhook_id) DO UPDATE SET failures = h.failures + 1
    RETURNING failures, failing_since
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """An event that a webhook is to be told; before all that waits for it when it `is_urgent`."""

    company_id: UUID
    webhook_id: UUID
    event_id: UUID
    topic: str
    position: int
    body: bytes
    tries_max: int
    is_urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One delivery, ours until the lease ends. `attempts` counts all there were, this one included."""

    company_id: UUID
    delivery_id: UUID
    webhook_id: UUID
    event_id: UUID
    topic: str
    body: bytes
    tries: int
    tries_max: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call, and what came back."""

    started_at: datetime
    milliseconds: int
    status: int | None
    error: str | None
    snippet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What becomes of a delivery: `pending` again at `due_at`, or ended."""

    state: str
    reason: str | None = None
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How often in a row a webhook has failed, and since when."""

    failures: int
    failing_since: datetime


def delivery_id_of(webhook_id: UUID, event_id: UUID) -> UUID:
    """The delivery of an event to a webhook; there is one, however often the event comes."""
    return uuid5(webhook_id, event_id.hex)


async def enqueue(
    connection: Connection,
    new: Sequence[New],
    *,
    now: datetime,
    pending_max: int = PENDING_MAX,
    rooms: dict[UUID, int] | None = None,
) -> None:
    """Have events told, unless they are to be already; dropped at once when too much waits already.

    `rooms` says of how many more it is known that there is room for them, and is kept up: only when there may
    be none is it counted what waits. To be forgotten when this is rolled back.
    """
    rooms = {} if rooms is None else rooms
    wanted = Counter(each.webhook_id for each in new)
    unsure = [webhook_id for webhook_id, number in wanted.items() if rooms.get(webhook_id, 0) < number]
    if unsure:
        cursor = await connection.execute(_ROOM, {"webhooks": unsure, "pending_max": pending_max})
        rooms.update(await cursor.fetchall())
    await connection.execute(
        _ENQUEUE,
        {
            "companies": [each.company_id for each in new],
            "deliveries": [delivery_id_of(each.webhook_id, each.event_id) for each in new],
            "webhooks": [each.webhook_id for each in new],
            "events": [each.event_id for each in new],
            "topics": [each.topic for each in new],
            "positions": [each.position for each in new],
            "bodies": [each.body for each in new],
            "tries_max": [each.tries_max for each in new],
            "rooms": [rooms[each.webhook_id] for each in new],
            "urgent": [each.is_urgent for each in new],
            "now": now,
        },
    )
    for webhook_id, number in wanted.items():
        rooms[webhook_id] = max(0, rooms[webhook_id] - number)


async def redeliver(
    connection: Connection,
    *,
    company_id: UUID,
    webhook_id: UUID,
    delivery_id: UUID,
    position: int,
    now: datetime,
) -> bool:
    """Try again from the beginning; `position` is that of the request, which counts once."""
    done = await connection.execute(
        _REDELIVER,
        {
            "company_id": company_id,
            "webhook_id": webhook_id,
            "delivery_id": delivery_id,
            "position": position,
            "now": now,
        },
    )
    return done.rowcount > 0


async def drop_waiting(
    connection: Connection,
    *,
    company_id: UUID,
    webhook_id: UUID,
    position: int,
    reason: str,
    unless: str,
    now: datetime,
) -> int:
    """End what was to be told of before this position, but for this topic; returns how many."""
    done = await connection.execute(
        _DROP,
        {
            "company_id": company_id,
            "webhook_id": webhook_id,
            "position": position,
            "reason": reason,
            "unless": unless,
            "now": now,
        },
    )
    return done.rowcount


async def is_known(connection: Connection, *, company_id: UUID, webhook_id: UUID, delivery_id: UUID) -> bool:
    """Whether there is such a delivery of this webhook."""
    cursor = await connection.execute(
        "SELECT FROM integration.webhook_deliveries "
        "WHERE company_id = %s AND webhook_id = %s AND delivery_id = %s",
        (company_id, webhook_id, delivery_id),
    )
    return bool(await cursor.fetchall())


async def take(
    connection: Connection,
    *,
    owner: str,
    now: datetime,
    limit: int,
    each_max: int,
    failing_from: int,
    failing: bool,
    lease_seconds: float,
    floors: Mapping[UUID, datetime] = NO_FLOORS,
) -> list[Taken]:
    """What is due, of webhooks that fail or of those that do not; of one that fails, one at a time."""
    async with connection.cursor(row_factory=class_row(Taken)) as cursor:
        await cursor.execute(
            _TAKE,
            {
                "owner": owner,
                "now": now,
                "limit": limit,
                "each_max": each_max,
                "failing_from": failing_from,
                "failing": failing,
                "lease_seconds": lease_seconds,
                "webhooks": list(floors),
                "floors": list(floors.values()),
            },
        )
        return await cursor.fetchall()


async def settle(
    connection: Connection,
    taken: Taken,
    ruling: Ruling,
    attempt: Attempt | None,
    *,
    owner: str,
    now: datetime,
) -> bool:
    """Write down what came of it; False, and nothing is written, when it is somebody else's by now."""
    done = await connection.execute(
        _SETTLE,
        {
            "company_id": taken.company_id,
            "delivery_id": taken.delivery_id,
            "attempts": taken.attempts,
            "owner": owner,
            "state": ruling.state,
            "reason": ruling.reason,
            "due_at": ruling.due_at,
            "ended_at": None if ruling.state == "pending" else now,
            "started_at": attempt and attempt.started_at,
            "milliseconds": attempt and attempt.milliseconds,
            "status": attempt and attempt.status,
            "error": attempt and attempt.error,
            "snippet": attempt and attempt.snippet,
        },
    )
    return done.rowcount > 0


async def note_failure(connection: Connection, company_id: UUID, webhook_id: UUID, now: datetime) -> Health:
    """One more in a row."""
    cursor = await connection.execute(
        _FAILED, {"company_id": company_id, "webhook_id": webhook_id, "now": now}
    )
    ((failures, failing_since),) = await cursor.fetchall()
    return Health(failures, failing_since)


async def note_health(connection: Connection, webhook_id: UUID) -> None:
    """It is to be looked at with fresh eyes."""
    await connection.execute("DELETE FROM integration.webhook_health WHERE webhook_id = %s", (webhook_id,))


async def forget(connection: Connection, before: datetime, limit: int = 1_000) -> int:
    """Remove what ended before then, a limited number at a time; returns how many."""
    done = await connection.execute(
        "DELETE FROM integration.webhook_deliveries d USING ("
        "SELECT company_id, delivery_id FROM integration.webhook_deliveries "
        "WHERE state <> 'pending' AND ended_at < %s LIMIT %s) AS old "
        "WHERE d.company_id = old.company_id AND d.delivery_id = old.delivery_id",
        (before, limit),
    )
    return done.rowcount


async def count(connection: Connection, outcomes: Mapping[str, int]) -> None:
    """Add to what is counted over all couriers."""
    for outcome, number in sorted(outcomes.items()):
        await connection.execute(
            "INSERT INTO integration.webhook_outcomes AS o (outcome, deliveries) VALUES (%s, %s) "
            "ON CONFLICT (outcome) DO UPDATE SET deliveries = o.deliveries + EXCLUDED.deliveries",
            (outcome, number),
        )
