"""Where projections have stopped, and why: the dead letters of the read side."""

import re

import psycopg
from psycopg_pool import AsyncConnectionPool

from projections.announcer import announce_everything
from projections.building import BuildFailed
from projections.connections import Connection, Permanent
from projections.lane import CheckpointMoved, Follower
from write_model.message import Recorded

_ERROR_LENGTH_MAX = 500
_OURS = ("projections", "read_model", "write_model", "integration", "runtime", "api")
# From the first to the last of a kind: what is quoted may hold quotation marks itself.
_QUOTED = re.compile(r"(['\"`]).*\1", re.DOTALL)

# Only while the checkpoint is where the failure was met: after a promotion or a lost lease the failure is not
# ours to report. `expected` is the position behind which it happened.
_RECORD = """
INSERT INTO read.failures AS f
        (projection, partition, position, event_id, topic, error, version, tries)
    SELECT c.projection, c.partition, %(position)s, coalesce(%(event_id)s, e.event_id),
            coalesce(%(topic)s, e.topic), %(error)s, %(version)s, %(tries)s
        FROM read.checkpoints c
        LEFT JOIN ccontrol.events e ON e.partition = c.partition AND e.position = %(position)s
        JOIN read.projections p ON p.name = c.projection AND p.generation = c.generation
        WHERE c.projection = %(projection)s AND c.generation = %(generation)s
            AND c.partition = %(partition)s AND c.position = %(expected)s
    ON CONFLICT (projection, partition, position) DO UPDATE
        SET error = EXCLUDED.error, version = EXCLUDED.version, tries = f.tries + EXCLUDED.tries,
            last_seen = clock_timestamp(), resolved_at = NULL
    RETURNING 1
"""


# A generation that is being built has no reader yet, and its next attempt begins in front of the same event.
_RECORD_BUILD = """
INSERT INTO read.failures AS f
        (projection, partition, position, event_id, topic, error, version, tries)
    SELECT %(projection)s, %(partition)s, %(position)s, e.event_id, e.topic, %(error)s, %(version)s, 1
        FROM (SELECT) AS one
        LEFT JOIN ccontrol.events e ON e.partition = %(partition)s AND e.position = %(position)s
    ON CONFLICT (projection, partition, position) DO UPDATE
        SET error = EXCLUDED.error, version = EXCLUDED.version, tries = f.tries + 1,
            last_seen = clock_timestamp(), resolved_at = NULL
"""


class Failures:
    """Writes them down."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool

    async def record(
        self, follower: Follower, position: int, recorded: Recorded | None, error: Exception, tries: int
    ) -> None:
        """The projection stays in front of this event until it is resumed."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                _RECORD,
                {
                    "projection": follower.name,
                    "generation": follower.generation,
                    "partition": follower.partition,
                    "expected": follower.position,
                    "position": position,
                    "event_id": recorded.event_id if recorded else None,
                    "topic": recorded.topic if recorded else None,
                    "error": describe(error),
                    "version": follower.folder.projection.version,
                    "tries": tries,
                },
            )
            if await cursor.fetchone() is None:
                raise CheckpointMoved(f"{follower.name} is not at {follower.position} any more")
            await announce_everything(connection)

    async def record_build(self, failed: BuildFailed, version: int) -> None:
        """The next version of a projection cannot be built past this event until it is resumed."""
        async with self._pool.connection() as connection:
            await connection.execute(
                _RECORD_BUILD,
                {
                    "projection": failed.projection,
                    "partition": failed.partition,
                    "position": failed.position,
                    "error": describe(failed.__cause__ or failed),
                    "version": version,
                },
            )
            await announce_everything(connection)


def describe(error: BaseException) -> str:
    """The error in one line that any column takes, for everybody who may see that there was one.

    Without the values it may quote: they may be personal data. So of PostgreSQL neither details nor what it
    says of a value it refused; of Python and its libraries nothing in quotation marks. Our own errors repeat
    no input.
    """
    cause = error
    while cause.__cause__ is not None and isinstance(cause, Permanent):
        cause = cause.__cause__
    # What SQLAlchemy says of an error has the parameters in it.
    inner = getattr(cause, "orig", None) or cause
    said = f"{type(cause).__name__}: {_without_values(inner)}"[:_ERROR_LENGTH_MAX]
    # A failure that cannot be written down would stop the others as well.
    return "".join(character if character.isprintable() else " " for character in said)


def _without_values(error: BaseException) -> str:
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        if isinstance(error, psycopg.DataError):
            place = ".".join(name for name in (error.diag.table_name, error.diag.column_name) if name)
            return f"the database refused a value{' of ' + place if place else ''} ({error.sqlstate})"
        return error.diag.message_primary or error.sqlstate
    message = str(error)
    if type(error).__module__.partition(".")[0] in _OURS:
        return message
    return _QUOTED.sub(r"\1…\1", message)
