"""Connections to PostgreSQL as the projector, and what counts as a passing failure of one."""

import asyncio
from typing import Any

import psycopg
import redis.exceptions
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from projections.arrays import ADAPTERS

ROLE = "ccontrol_projector"

Connection = AsyncConnection[TupleRow]


class _Adapted:
    """What psycopg asks a context for."""

    adapters = ADAPTERS
    connection = None


_ADAPTED = _Adapted()

# synchronous_commit off is safe here and only here: rows and checkpoint are in one transaction, so a crash
# loses both or neither, and what is lost is folded again from the log, which is written durably.
# A worker that is paused inside a transaction holds its lease row: the server ends it, so another can go on.
_OPTIONS = (
    f"-c role={ROLE} -c synchronous_commit=off -c jit=off -c timezone=UTC "
    "-c idle_in_transaction_session_timeout=15s"
)

_TRANSIENT = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,  # a primary that has just become a standby
    PoolTimeout,
    redis.exceptions.RedisError,
    OSError,
    TimeoutError,
)


class Permanent(Exception):
    """A failure that waiting does not mend, whatever caused it: a handler may well raise a TimeoutError."""


def is_transient(error: BaseException | None) -> bool:
    """Whether the surroundings failed rather than an event: then wait and try again.

    Also when such a failure is the cause of this one: the log has exceptions of its own for it. A group of
    failures passes when each of them does.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_transient(each) for each in error.exceptions)
    while error is not None and not isinstance(error, Permanent):
        if isinstance(error, _TRANSIENT):
            return True
        error = error.__cause__
    return False


def stop_if_cancelled() -> None:
    """For every loop that must end when it is cancelled.

    A cancellation can get lost on the way: psycopg lets the error of an interrupted statement take its place,
    and before Python 3.12 asyncio.wait_for, which its pool uses, drops it when the answer comes just then.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def plain_url(database_url: str) -> str:
    """The URL without SQLAlchemy's driver name."""
    scheme, separator, rest = database_url.partition("://")
    return scheme.partition("+")[0] + separator + rest


def _arguments(name: str) -> dict[str, Any]:
    return {
        "options": _OPTIONS,
        "application_name": f"ccontrol-{name}",
        "connect_timeout": 5,
        "context": _ADAPTED,
    }


async def connect(database_url: str, *, name: str = "projections") -> Connection:
    """One connection in autocommit; transactions are opened where they are meant."""
    return await AsyncConnection.connect(plain_url(database_url), autocommit=True, **_arguments(name))


def open_pool(database_url: str, *, size: int, name: str = "projections") -> AsyncConnectionPool[Connection]:
    """A pool of such connections, to be entered with `async with`."""
    return AsyncConnectionPool(
        plain_url(database_url),
        kwargs={"autocommit": True, **_arguments(name)},
        min_size=1,
        max_size=size,
        timeout=10,
        open=False,
    )
