"""What a rebuild does to everybody else, and holding it back when that is too much.

Writers wait for commits, so a durable commit is tried four times a second and timed, in a thread of its own:
this process is busy folding, and its own delays must not count. While the slowest twentieth of them takes
longer than the limit, the rebuild pauses before each page. Never for long at a time: on a machine that is
slow anyway it becomes slow, it does not stop.
"""

import asyncio
import threading
import time
from collections import deque

import psycopg
import structlog

from projections.connections import ROLE, plain_url

COMMIT_SECONDS_MAX = 0.25
_EVERY_SECONDS = 0.25
_REMEMBERED = 20
_PAUSE_SECONDS_MAX = 2.0
_LOOK_SECONDS = 0.1

# A message in the database's own log that nobody reads: it changes nothing, but its commit must be durable.
_COMMIT = "SELECT pg_logical_emit_message(true, 'ccontrol.probe', '')"
_LIVE = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - oldest_at)), 0)::float8
    FROM read.lags() WHERE projection = %s
"""

_log = structlog.get_logger(__name__)


class Pressure:
    """Entered while a projection is rebuilt. Without a limit it only looks."""

    def __init__(self, database_url: str, projection: str, commit_seconds_max: float | None) -> None:
        self._url = plain_url(database_url)
        self._projection = projection
        self.commit_seconds_max = commit_seconds_max
        self._commits: deque[float] = deque(maxlen=_REMEMBERED)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pressure", daemon=True)
        self.live_lag_seconds: float | None = None
        """How old the oldest event is that the generation being served has not folded."""

    async def __aenter__(self) -> "Pressure":
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await asyncio.to_thread(self._thread.join)

    def _watch(self) -> None:
        """Whatever goes wrong here, the rebuild goes on."""
        connection: psycopg.Connection | None = None
        try:
            while not self._over.is_set():
                try:
                    if connection is None or connection.closed:
                        connection = self._connect()
                    self._look(connection)
                except (psycopg.Error, OSError) as error:
                    _log.debug("pressure_not_measured", error=type(error).__name__)
                self._over.wait(_EVERY_SECONDS)
        finally:
            if connection is not None:
                connection.close()

    async def ease(self) -> None:
        """Before a page: wait while others wait too long."""
        deadline = time.monotonic() + _PAUSE_SECONDS_MAX
        while self.is_high() and time.monotonic() < deadline:  # noqa: ASYNC110  # time is what is waited for
            await asyncio.sleep(_LOOK_SECONDS)

    def note(self, commit_seconds: float) -> None:
        """A commit took this long."""
        self._commits.append(commit_seconds)

    def is_high(self) -> bool:
        """Whether the slowest twentieth of the latest commits is beyond the limit."""
        if self.commit_seconds_max is None or not self._commits:
            return False
        ordered = sorted(self._commits.copy())
        return ordered[int(0.95 * (len(ordered) - 1))] > self.commit_seconds_max

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            self._url,
            autocommit=True,
            options=f"-c role={ROLE} -c synchronous_commit=on",
            application_name="ccontrol-pressure",
            connect_timeout=5,
        )

    def _look(self, connection: psycopg.Connection) -> None:
        begun = time.perf_counter()
        connection.execute(_COMMIT)
        self.note(time.perf_counter() - begun)
        row = connection.execute(_LIVE, (self._projection,)).fetchone()
        self.live_lag_seconds = row[0] if row else None
