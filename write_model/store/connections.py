"""Connections to the store: which role they act as, and what is done when one breaks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, abc, adapt, generators, waiting
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

from write_model.store import arrays
from write_model.store.append import StoreBusy, StoreUnavailable

APP, PROJECTOR, SEALER, AUDITOR = "ccontrol_app", "ccontrol_projector", "ccontrol_sealer", "auditor"

Row = tuple[Any, ...]
T = TypeVar("T")
INTEGER, UUID = 23, 2950
"""The numbers of types in PostgreSQL's own catalogue."""

# How long an answer is sought while the database is away, and how long for a connection while all are busy.
_READ_PATIENCE_SECONDS = 10.0
_BUSY_SECONDS_MAX = 5.0
_RETRY_SECONDS_MAX = 1.0
# A peer that vanished without a word (a pulled cable, a dropped firewall state) is noticed after this long.
_SILENCE_MILLISECONDS_MAX = 15_000
# Cannot connect now, too many connections, shut down by an administrator, crashed, or the socket itself; and
# a server that has become a standby: its successor is found by connecting anew.
_CONNECTION_STATES = ("08", "57P", "53300", "25006")
# Serialization failure, deadlock, a lock that did not come, cancelled by an administrator.
_ROLLED_BACK_STATES = ("40", "55P03", "57014")
# No disk, no memory, the disk itself.
_SHORTAGE_STATES = ("53", "58")

# Statements are prepared once per connection, perhaps while the tables are empty and reading them whole
# looks cheap, and their plans kept. Everything the store reads it finds by key.
_PLANS = {"enable_seqscan": "off", "jit": "off"}


def conninfo(url: str, role: str, **settings: str) -> str:
    """Where to connect, acting as `role` from the first moment: the login only has to be a member of it."""
    settings = {"role": role, "TimeZone": "UTC", **_PLANS, **settings}
    options = [str(conninfo_to_dict(url).get("options") or "")]
    options += [f"-c {name}={value}" for name, value in settings.items()]
    return make_conninfo(
        url,
        options=" ".join(options).strip(),
        application_name=role,
        connect_timeout=10,
        keepalives_idle=10,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=_SILENCE_MILLISECONDS_MAX,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """What is asked again and again, with values that are packed already, in binary."""

    name: bytes
    query: bytes
    types: Sequence[int]


class Connection(AsyncConnection[Row]):
    """Closed when whoever asked leaves before the answer.

    The driver would ask the server to cancel, over a new connection, and wait for both: ten seconds more for
    somebody who left because the server is silent. Nobody uses such a connection again anyway.
    """

    _known: frozenset[bytes] = frozenset()
    _answers: abc.Transformer | None = None

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """See the driver."""
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise

    async def ask(self, statement: Statement, values: Sequence[bytes]) -> list[Row]:
        """The answer to a statement. For whoever has this connection alone, outside any transaction.

        What the driver does for each execution, a cursor and a look at every value, takes longer than the
        rest of a small append.
        """
        return await self.wait(self._asking(statement, values))

    def _asking(self, statement: Statement, values: Sequence[bytes]) -> PQGen[list[Row]]:
        pgconn = self.pgconn
        if self._answers is None:
            self._answers = adapt.Transformer(self)
        if statement.name not in self._known:
            pgconn.send_prepare(statement.name, statement.query, statement.types)
            _checked((yield from generators.execute(pgconn)))
            self._known = self._known | {statement.name}
        formats = [Format.BINARY] * len(values)
        pgconn.send_query_prepared(statement.name, values, formats, Format.BINARY)
        result = _checked((yield from generators.execute(pgconn)))
        self._answers.set_pgresult(result)
        return self._answers.load_rows(0, result.ntuples, tuple)


def _checked(results: list[PGresult]) -> PGresult:
    result = results[-1]
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise psycopg.errors.error_from_result(result)
    return result


async def connect(url: str, role: str, **settings: str) -> Connection:
    """One connection outside any pool, in autocommit: each statement is a transaction."""
    connection = await Connection.connect(
        conninfo(url, role, **settings), autocommit=True, prepare_threshold=0
    )
    arrays.register(connection)
    return connection


def is_connection_loss(error: BaseException) -> bool:
    """Whether the database went away, so that asking again elsewhere or later may help."""
    if isinstance(error, TimeoutError | OSError):
        return True
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate.startswith(_CONNECTION_STATES)
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def is_rolled_back(error: BaseException) -> bool:
    """Whether nothing of it happened and the very same statement may simply be sent again."""
    return _state_of(error).startswith(_ROLLED_BACK_STATES)


def is_shortage(error: BaseException) -> bool:
    """Whether the database lacks something to work with, and nothing of the statement happened."""
    return _state_of(error).startswith(_SHORTAGE_STATES)


def _state_of(error: BaseException) -> str:
    return (error.sqlstate or "") if isinstance(error, psycopg.Error) else ""


class Reader:
    """A few connections, shared, for statements that may safely be asked twice.

    Not the driver's own pool: that one connects in the background, with pauses that grow to minutes, and
    cannot tell a caller whether all connections are busy or there is no database. Here whoever asks connects.
    """

    def __init__(self, url: str, role: str, *, size_max: int) -> None:
        self._url = url
        self._role = role
        self._free = asyncio.Semaphore(size_max)
        self._idle: list[AsyncConnection[Row]] = []

    async def close(self) -> None:
        """Close every connection; nothing may be asked any more."""
        while self._idle:
            await self._idle.pop().close()

    async def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The answer, asked again for a while when the database goes away in between."""
        try:
            async with asyncio.timeout(_BUSY_SECONDS_MAX):
                await self._free.acquire()
        except TimeoutError as error:
            raise StoreBusy("no connection became free in time") from error
        try:
            return await self._persistently(query, parameters)
        finally:
            self._free.release()

    async def _persistently(self, query: str, parameters: Sequence[Any]) -> list[Row]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READ_PATIENCE_SECONDS
        delay = 0.05
        while True:
            try:
                # Also a database that is there but does not answer is away.
                async with asyncio.timeout_at(deadline):
                    return await self._ask(query, parameters)
            except (psycopg.Error, OSError) as error:
                if not is_connection_loss(error):
                    raise
                # After a restart every idle connection is dead; do not meet them one by one.
                await self.close()
                if loop.time() + delay > deadline:
                    raise StoreUnavailable("the database cannot be reached") from error
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RETRY_SECONDS_MAX)

    async def _ask(self, query: str, parameters: Sequence[Any]) -> list[Row]:
        # The last one returned first: the rest may grow old, and few are used when there is little to do.
        connection = self._idle.pop() if self._idle else await connect(self._url, self._role)
        try:
            cursor = await connection.execute(query, parameters, binary=True)
            return await cursor.fetchall()
        finally:
            # One that was left in the middle of something, as by a cancelled request, is not used again.
            if connection.info.transaction_status == TransactionStatus.IDLE:
                self._idle.append(connection)
            else:
                await connection.close()
