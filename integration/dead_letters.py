"""Messages that could not be dealt with, wherever they died: kept until somebody decides about them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from integration.broker import Broker, Letter
from integration.event import NotAnEvent, from_json
from projections.connections import Connection

_TEXT_LENGTH_MAX = 500

_BURY = """
INSERT INTO integration.dead_letters AS d (queue, message_id, company_id, topic, body, error)
    VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (queue, message_id) DO UPDATE
        SET error = EXCLUDED.error, deaths = d.deaths + 1, state = 'dead', died_at = clock_timestamp(),
            decided_at = NULL, decided_by = NULL, reason = NULL
"""
_COLUMNS = """
queue, message_id, company_id, topic, body, error, deaths, state, first_died_at, died_at, decided_at,
decided_by, reason
"""
# SKIP LOCKED: another process is sending that one.
_WANTED = """
SELECT queue, message_id, body FROM integration.dead_letters WHERE state = 'retrying'
    ORDER BY died_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_SENT = """
UPDATE integration.dead_letters SET state = 'retried' WHERE queue = %s AND message_id = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    """One message, why it died, and what was decided about it."""

    queue: str
    message_id: str
    company_id: UUID | None
    topic: str | None
    body: bytes
    error: str
    deaths: int
    state: str
    first_died_at: datetime
    died_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None


async def bury(connection: Connection, queue: str, letter: Letter, error: str) -> None:
    """Keep a message; one that dies again is the same letter. Durable once the transaction is committed."""
    company_id: UUID | None = None
    topic: str | None = None
    with suppress(NotAnEvent):
        event = from_json(letter.body)
        company_id, topic = event.company_id, storable(event.topic)
    async with connection.transaction():
        # Its broker forgets the message after this: a crash of the database must not.
        await connection.execute("SET LOCAL synchronous_commit = on")
        await connection.execute(
            _BURY, (queue, storable(letter.id), company_id, topic, letter.body, storable(error))
        )


def storable(text: str) -> str:
    """As PostgreSQL takes it: whoever sent the message, or wrote the error, may not have thought of it."""
    return text.replace("\x00", "").encode(errors="replace").decode()[:_TEXT_LENGTH_MAX]


async def listed(
    connection: Connection, *, queue: str | None = None, everything: bool = False, limit: int = 200
) -> list[DeadLetterRow]:
    """The letters somebody has to decide about, oldest first; or all, also those decided."""
    async with connection.cursor(row_factory=class_row(DeadLetterRow)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM integration.dead_letters "  # noqa: S608  # our own column names
            "WHERE (%s::text IS NULL OR queue = %s) AND (%s OR state IN ('dead', 'retrying')) "
            "ORDER BY died_at, queue, message_id LIMIT %s",
            (queue, queue, everything, limit),
        )
        return await cursor.fetchall()


async def found(connection: Connection, queue: str, message_id: str) -> DeadLetterRow | None:
    """One letter."""
    async with connection.cursor(row_factory=class_row(DeadLetterRow)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM integration.dead_letters WHERE queue = %s AND message_id = %s",  # noqa: S608
            (queue, message_id),
        )
        return await cursor.fetchone()


async def decide(
    connection: Connection, queue: str, message_id: str, state: str, *, actor: str, reason: str | None
) -> bool:
    """`retrying` or `discarded`; False when there is no such letter waiting for a decision."""
    cursor = await connection.execute(
        "SELECT integration.decide(%s, %s, %s, %s, %s)", (queue, message_id, state, actor, reason)
    )
    ((decided,),) = await cursor.fetchall()
    return bool(decided)


async def send_wanted(connection: Connection, broker: Broker) -> int:
    """Put letters that are to be retried back into their queues; returns how many. Raises PublishFailed.

    The mark is committed after the broker's confirm: a crash between the two sends the letter twice.
    """
    sent = 0
    while True:
        async with connection.transaction():
            cursor = await connection.execute(_WANTED)
            wanted: Sequence[tuple[str, str, bytes]] = await cursor.fetchall()
            if not wanted:
                return sent
            ((queue, message_id, body),) = wanted
            await broker.redeliver(queue, Letter(message_id, bytes(body)))
            await connection.execute(_SENT, (queue, message_id))
        sent += 1
