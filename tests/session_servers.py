"""One PostgreSQL and one Valkey for all test workers of a session, started by the first that asks.

A server dies with the worker that started it, so that worker waits until the others have left: at the end of
its session, when it uses none itself. In a fixture, two workers of which each had started one waited for each
other, and the time limit of a test counted.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol


class Server(Protocol):
    """What PostgresServer and ValkeyServer have in common."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class SessionServers:
    """What this worker uses, and has to stop because it started it."""

    def __init__(self) -> None:
        self._started: list[tuple[Path, Server]] = []

    @contextmanager
    def use(self, directory: Path, make: Callable[[Path], Server]) -> Iterator[str]:
        """The URL of the session's server of this directory."""
        users = directory / "users"
        users.mkdir(parents=True, exist_ok=True)
        known = directory / "known.json"
        with _alone(directory):
            if not _others(directory):
                known.unlink(missing_ok=True)
            if not known.exists():
                server = make(directory / "server")
                server.start()
                self._started.append((directory, server))
                known.write_text(json.dumps({"url": server.url}))
            url = str(json.loads(known.read_text())["url"])
            (users / str(os.getpid())).touch()
        try:
            yield url
        finally:
            (users / str(os.getpid())).unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop what this worker started, each when nobody else uses it any more."""
        while self._started:
            directory, server = self._started.pop()
            while not _stopped(directory, server):
                time.sleep(0.05)


def _stopped(directory: Path, server: Server) -> bool:
    with _alone(directory):
        if _others(directory):
            return False
        (directory / "known.json").unlink(missing_ok=True)
        server.stop()
        return True


def _others(directory: Path) -> list[int]:
    """The other workers that use the server and are still alive."""
    pids = [int(user.name) for user in (directory / "users").iterdir()]
    return [pid for pid in pids if pid != os.getpid() and Path("/proc", str(pid)).exists()]


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
