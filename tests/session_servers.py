"""One PostgreSQL and one Valkey for all test workers of a session, started by the first that asks.

A server dies with the worker that started it, so that worker waits at its end until the others have left.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

_PATIENCE_SECONDS = 300


class Server(Protocol):
    """What PostgresServer and ValkeyServer have in common."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


@contextmanager
def server_of_the_session(
    directory: Path, make: Callable[[Path], Server], prepare: Callable[[str], None] = lambda url: None
) -> Iterator[str]:
    """The URL of the session's server; `prepare` ran once on it, before anybody else saw the URL."""
    users = directory / "users"
    users.mkdir(parents=True, exist_ok=True)
    known = directory / "known.json"
    ours: Server | None = None
    with _alone(directory):
        if not _others(users):
            known.unlink(missing_ok=True)
        if not known.exists():
            ours = make(directory / "server")
            ours.start()
            prepare(ours.url)
            known.write_text(json.dumps({"url": ours.url}))
        url = str(json.loads(known.read_text())["url"])
        (users / str(os.getpid())).touch()
    try:
        yield url
    finally:
        (users / str(os.getpid())).unlink(missing_ok=True)
        if ours is not None:
            _stop_after_the_others(directory, users, known, ours)


def _stop_after_the_others(directory: Path, users: Path, known: Path, server: Server) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with _alone(directory):
            if not _others(users) or time.monotonic() > deadline:
                known.unlink()
                server.stop()
                return
        time.sleep(0.05)


def _others(users: Path) -> list[int]:
    """Workers that use the server and are still alive."""
    return [int(user.name) for user in users.iterdir() if Path("/proc", user.name).exists()]


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
