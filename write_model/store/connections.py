"""Connections to the store: which role they act as, and what is done when one breaks."""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from write_model.store import arrays
from write_model.store.append import StoreBusy, StoreUnavailable

APP, PROJECTOR, SEALER, AUDITOR = "ccontrol_app", "ccontrol_projector", "ccontrol_sealer", "auditor"

Row = tuple[Any, ...]

_READ_PATIENCE_SECONDS = 10.0
_POOL_PATIENCE_SECONDS = 5.0
# A peer that vanished without a word (a pulled cable, a dropped firewall state) is noticed after this long.
_SILENCE_MILLISECONDS_MAX = 15_000
# Cannot connect now, too many connections, shut down by an administrator, crashed, or the socket itself.
_CONNECTION_STATES = ("08", "57P", "53300")

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


async def connect(url: str, role: str, **settings: str) -> AsyncConnection[Row]:
    """One connection outside any pool, in autocommit: each statement is a transaction."""
    connection = await AsyncConnection.connect(
        conninfo(url, role, **settings), autocommit=True, prepare_threshold=0
    )
    arrays.register(connection)
    return connection


def is_connection_loss(error: BaseException) -> bool:
    """Whether the database went away, so that asking again elsewhere or later may help."""
    if isinstance(error, TimeoutError | OSError):
        return True
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return error.sqlstate is None or error.sqlstate.startswith(_CONNECTION_STATES)
    return False


class Reader:
    """A small pool for statements that may safely be asked twice."""

    def __init__(self, url: str, role: str, *, size_max: int) -> None:
        self._pool = AsyncConnectionPool(
            conninfo(url, role),
            min_size=1,
            max_size=size_max,
            open=False,
            timeout=_POOL_PATIENCE_SECONDS,
            kwargs={"autocommit": True, "prepare_threshold": 0},
            configure=_configure,
        )

    async def open(self) -> None:
        """Connect; raise at once if that fails."""
        await self._pool.open(wait=True, timeout=_READ_PATIENCE_SECONDS)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The answer, asked again for a while when the database goes away in between."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READ_PATIENCE_SECONDS
        delay = 0.05
        while True:
            try:
                async with self._pool.connection() as connection:
                    cursor = await connection.execute(query, parameters, binary=True)
                    return await cursor.fetchall()
            except PoolTimeout as error:
                raise StoreBusy("no connection became free in time") from error
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if not is_connection_loss(error) or loop.time() + delay > deadline:
                    raise StoreUnavailable("the database cannot be reached") from error
                # After a restart every idle connection is dead; do not meet them one by one.
                await self._pool.check()
                await asyncio.sleep(delay)
                delay *= 2


async def _configure(connection: AsyncConnection[Any]) -> None:
    arrays.register(connection)
