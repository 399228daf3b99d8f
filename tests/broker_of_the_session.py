"""One RabbitMQ for all test workers of a session, started in the background while other tests run.

It takes seconds to start, and a server has to be started by the main thread of a process that lives as long
as it does. So a process of its own does it, begun by one worker at the start of the session; the others, and
that one, ask for the URL when they need it. It ends when that worker has let go of its standard input.

    python -m tests.broker_of_the_session DIRECTORY LOCK    LOCK: a descriptor, locked until the URL is known
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from runtime.servers.debian import NoRabbitMQ, is_debian
from runtime.servers.process import ServerFailed
from runtime.servers.rabbitmq import RabbitMQServer

_ROOT = Path(__file__).parents[1]


class Background:
    """The process that runs the broker, as the worker that began it sees it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True)
        with (directory / "lock").open("w") as lock:
            # The process inherits the lock and keeps it until the URL is known: who asks waits for it.
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.broker_of_the_session", str(directory), str(lock.fileno())],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[lock.fileno()],
            )

    def end(self) -> None:
        """When nobody uses it any more."""
        while _users(self._directory):
            time.sleep(0.05)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def url_of(directory: Path) -> str:
    """Where it is, waiting for its start. Raises NoRabbitMQ with the reason why there is none."""
    (directory / "users").mkdir(exist_ok=True)
    (directory / "users" / str(os.getpid())).touch()
    with (directory / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
    known = json.loads((directory / "known.json").read_text())
    if "missing" in known:
        raise NoRabbitMQ(known["missing"])
    return str(known["url"])


def let_go(directory: Path) -> None:
    """This worker does not use it any more."""
    (directory / "users" / str(os.getpid())).unlink(missing_ok=True)


def must_be_there() -> bool:
    """In continuous integration on Debian a broker that is missing is a failure, not a reason to skip."""
    return bool(os.environ.get("CI")) and is_debian()


def _users(directory: Path) -> list[str]:
    users = directory / "users"
    if not users.exists():
        return []
    return [user.name for user in users.iterdir() if Path("/proc", user.name).exists()]


def _main(directory: Path, lock: int) -> None:
    server = RabbitMQServer(directory / "server")
    known: dict[str, str]
    try:
        server.start()
        known = {"url": server.url}
    except ServerFailed as reason:
        known = {"missing": str(reason)}
    (directory / "known.json").write_text(json.dumps(known))
    os.close(lock)
    sys.stdin.read()
    server.kill()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
