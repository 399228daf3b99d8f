"""Connections to PostgreSQL as the projector, and what counts as a passing failure of one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
import redis.exceptions
from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from projections.arrays import ADAPTERS

ROLE = "ccontrol_projector"

T = TypeVar("T")
# Longer than any statement of a projector's takes, but those of a rebuild, which are waited for.
SILENCE_SECONDS_MAX = 30.0


class _Adapted:
    """What psycopg asks a context for."""

    adapters = ADAPTERS
    connection = None


_ADAPTED = _Adapted()

# synchronous_commit off is safe here and only here: rows and checkpoint are in one transaction, so a crash
# loses both or neither, and what is lost is folded again from the log, which is written durably.
# Who was killed holds no lock for longer than that, however long its statement takes.
# A worker that is paused inside a transaction holds its lease row: the server ends it, so another can go on.
_OPTIONS = (
    f"-c role={ROLE} -c synchronous_commit=off -c jit=off -c timezone=UTC "
    "-c idle_in_transaction_session_timeout=15s -c client_connection_check_interval=2s"
)
# A peer that vanished without a word (a pulled cable, a dropped firewall state) is noticed by the system.
_VANISHED: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


class Connection(AsyncConnection[TupleRow]):
    """Given up when the server takes what it is sent, and is silent for longer than the patience.

    None is for ever: building an index takes as long as it takes.
    """

    patience_seconds: float | None = None

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """See the driver."""
        if timeout is not None or self.patience_seconds is None:
            return await super().wait(gen, interval, timeout)
        try:
            return await super().wait(gen, interval, self.patience_seconds)
        except psycopg.errors._WaitTimeout:
            # Its answer, should it come, would be taken for that of the next statement.
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"no answer from the database in {self.patience_seconds:g} s"
            ) from None


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


def _arguments(name: str, patience_seconds: float | None) -> dict[str, Any]:
    options = _OPTIONS
    if patience_seconds is not None:
        # So that nothing goes on, with its locks, for somebody who has given up.
        options += f" -c statement_timeout={int(patience_seconds * 900)}"
    return {
        "options": options,
        **_VANISHED,
        "application_name": f"ccontrol-{name}",
        "connect_timeout": 5,
        "context": _ADAPTED,
    }


def _patience(patient: bool) -> float | None:
    return None if patient else SILENCE_SECONDS_MAX


def _configured(patience_seconds: float | None) -> Callable[[Connection], Awaitable[None]]:
    async def configure(connection: Connection) -> None:
        connection.patience_seconds = patience_seconds

    return configure


async def connect(database_url: str, *, name: str = "projections", patient: bool = False) -> Connection:
    """One connection in autocommit; transactions are opened where they are meant.

    A `patient` one waits for as long as a statement takes.
    """
    patience = _patience(patient)
    connection: Connection = await Connection.connect(
        plain_url(database_url), autocommit=True, **_arguments(name, patience)
    )
    connection.patience_seconds = patience
    return connection


def open_pool(
    database_url: str, *, size: int, name: str = "projections", patient: bool = False
) -> AsyncConnectionPool[Connection]:
    """A pool of such connections, to be entered with `async with`."""
    patience = _patience(patient)
    return AsyncConnectionPool(
        plain_url(database_url),
        connection_class=Connection,
        configure=_configured(patience),
        kwargs={"autocommit": True, **_arguments(name, patience)},
        min_size=1,
        max_size=size,
        timeout=10,
        open=False,
    )
