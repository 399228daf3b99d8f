"""Everything on this machine in the foreground: what ./run executes once the virtual environment is there.

Starts the embedded servers (unless DATABASE_URL, REDIS_URL and AMQP_URL name others), migrates, creates the
first company, starts the projector, the API and the relay, waits until they are ready, says where to look,
and then keeps them alive until Ctrl-C. Whatever ends this process, even kill -9, ends the others too.
"""

import argparse
import fcntl
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import psycopg

from runtime.addresses import SCHEMES, complaint_about
from runtime.prepare import prepare
from runtime.servers import PostgresServer, RabbitMQServer, ServerFailed, ValkeyServer
from runtime.servers.process import LOOPBACK, free_port, last_lines, port_is_free, write_private
from runtime.supervisor import OwnProcess, Supervisor

if TYPE_CHECKING:
    from runtime.first_start import FirstLogin

# The projector first: the API is not ready before somebody projects.
_OWN_ROLES = ("projector", "api", "relay")
_PROJECT = Path(__file__).resolve().parents[1]
_DEFAULT_PORT = 8000
_PORT_MAX = 65_535
_METRICS_PORT = "CCONTROL_METRICS_PORT"
_READY_WITHIN_SECONDS = 120.0
# Before the first ready answer a process that keeps dying will not get better by waiting.
_CRASHES_MAX_BEFORE_READY = 3
_LOG_BYTES_MAX = 10_000_000

# The same codes as the command line's.
_USAGE, _CONFLICT, _UNREACHABLE, _INTERNAL = 2, 5, 6, 70


class _CannotStart(Exception):
    """Says why, and with which exit code to end."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _StopRequested(BaseException):
    """Raised by the signal handler; not an Exception, so that nobody on the way takes it for a failure."""


class Instance:
    """One running installation on this machine: its folder, its servers, its processes."""

    def __init__(self, state: Path, port: int, *, broker: bool) -> None:
        self.state = state
        self._broker = broker
        self.url = f"http://{LOOPBACK}:{port}"
        self._port = port
        self._logs = state / "logs"
        self._logs.mkdir(mode=0o700, exist_ok=True)
        self._supervisor = Supervisor(say)
        self._postgres: PostgresServer | None = None
        self._valkey: ValkeyServer | None = None
        self._rabbitmq: RabbitMQServer | None = None

    @property
    def database_url(self) -> str:
        return self._postgres.url if self._postgres else os.environ["DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        return self._valkey.url if self._valkey else os.environ["REDIS_URL"]

    @property
    def amqp_url(self) -> str | None:
        """None where tables of the database stand in for a broker."""
        return self._rabbitmq.url if self._rabbitmq else os.environ.get("AMQP_URL") or None

    @property
    def urls(self) -> dict[str, str]:
        """Where the servers are, as they are described to others."""
        found = {"database_url": self.database_url, "redis_url": self.redis_url}
        return found | ({"amqp_url": self.amqp_url} if self.amqp_url else {})

    def start_servers(self) -> None:
        """The embedded servers, unless the environment names others."""
        if not os.environ.get("DATABASE_URL"):
            self._postgres = PostgresServer(self.state / "postgres", log=self._log("postgres"))
            self._supervisor.start("postgres", self._postgres)
        if not os.environ.get("REDIS_URL"):
            self._valkey = ValkeyServer(self.state / "valkey", log=self._log("redis"))
            self._supervisor.start("redis", self._valkey)
        if self._broker and not os.environ.get("AMQP_URL"):
            self._rabbitmq = RabbitMQServer(self.state / "rabbitmq", log=self._log("rabbitmq"))
            self._supervisor.start("rabbitmq", self._rabbitmq)

    def prepare(self) -> "FirstLogin":
        """Keys, tables, the first company; all of it a no-op on later starts."""
        os.environ.update(self._own_environment())
        return prepare(self.database_url)

    def start_own_processes(self) -> None:
        """In one process: what is told and who deals with it. A deployment may have several of each."""
        for role in _OWN_ROLES:
            command = [sys.executable, "-P", "-m", "runtime.cli", "serve", role]
            command += ["--consumers"] if role == "relay" else []
            environment = partial(self._environment, role)
            own = OwnProcess(command, log=self._log(role), directory=_PROJECT, environment=environment)
            self._supervisor.start(role, own)

    def wait_until_ready(self) -> None:
        """Until GET /readyz says 200."""
        deadline = time.monotonic() + _READY_WITHIN_SECONDS
        while not self._is_ready():
            self._supervisor.tend()
            failed = [
                role for role in _OWN_ROLES if self._supervisor.crashes_of(role) >= _CRASHES_MAX_BEFORE_READY
            ]
            if failed or time.monotonic() > deadline:
                role = failed[0] if failed else "api"
                raise _CannotStart(
                    _INTERNAL, f"{role} does not come up; from its log:\n{last_lines(self._log(role))}"
                )
            time.sleep(0.05)

    def tend_for_ever(self) -> None:
        """Keep everybody alive; a signal ends this."""
        known = self.urls
        while True:
            if self._supervisor.tend():
                # A server that lost its port to somebody else is back on another one.
                if known != self.urls:
                    known = self.urls
                    for role in _OWN_ROLES:
                        self._supervisor.restart(role)
                self.write_description()
            time.sleep(0.2)

    def pids(self) -> dict[str, int]:
        return {"supervisor": os.getpid(), **self._supervisor.pids()}

    def write_description(self) -> None:
        """For the command line and for scripts; private, because the URLs carry passwords."""
        description = {
            "url": self.url,
            **self.urls,
            "pids": self.pids(),
        }
        write_private(self.state / "instance.json", json.dumps(description, indent=2) + "\n")

    def stop(self) -> None:
        self._supervisor.stop()
        (self.state / "instance.json").unlink(missing_ok=True)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _own_environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            **({"AMQP_URL": self.amqp_url} if self.amqp_url else {}),
            "CCONTROL_STATE": str(self.state),
            "CCONTROL_PORT": str(self._port),
        }

    def _environment(self, role: str) -> dict[str, str]:
        found = {**os.environ, **self._own_environment(), "PYTHONUNBUFFERED": "1"}
        # All are on one machine: the relay's numbers are one port further than the projector's.
        if role == "relay" and found.get(_METRICS_PORT, "").isdecimal():
            found[_METRICS_PORT] = str(int(found[_METRICS_PORT]) + 1)
        return found

    def _log(self, role: str) -> Path:
        log = self._logs / f"{role}.log"
        if log.exists() and log.stat().st_size > _LOG_BYTES_MAX and role not in self.pids():
            log.replace(log.with_suffix(".log.old"))
        return log


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole life of ./run; returns its exit code."""
    options = _parser().parse_args(arguments)
    state: Path = options.state.absolute()
    try:
        _require_addresses()
        _make(state)
        with _alone_in(state):
            port = _choose_port(options.port)
            _run(Instance(state, port, broker=options.broker), as_json=options.json)
    except _CannotStart as reason:
        say(str(reason))
        return reason.code
    except (ServerFailed, psycopg.OperationalError) as failure:
        say(str(failure))
        return _UNREACHABLE
    return 0


def _require_addresses() -> None:
    for name in SCHEMES:
        given = os.environ.get(name)
        complaint = complaint_about(name, given) if given else None
        if complaint is not None:
            raise _CannotStart(_USAGE, complaint)


def _make(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
    except OSError as failure:
        raise _CannotStart(_USAGE, f"the state folder {state} cannot be: {failure.strerror}") from None


def say(message: str) -> None:
    """To a person; standard output belongs to the answer."""
    print(f"ccontrol: {message}", file=sys.stderr, flush=True)


def _run(instance: Instance, *, as_json: bool) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _request_stop)
    try:
        instance.start_servers()
        login = instance.prepare()
        instance.start_own_processes()
        instance.wait_until_ready()
        instance.write_description()
        print(_as_json(instance, login) if as_json else _for_a_person(instance, login), flush=True)
        instance.tend_for_ever()
    except _StopRequested:
        say("stopping")
    finally:
        # An impatient second Ctrl-C must not interrupt the orderly stop.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        instance.stop()


def _request_stop(number: int, frame: FrameType | None) -> None:
    raise _StopRequested


def _as_json(instance: Instance, login: "FirstLogin") -> str:
    return json.dumps(
        {
            "url": instance.url,
            "login": {"email": login.email, "password": login.password},
            "company_id": login.company_id,
            **instance.urls,
            "pids": instance.pids(),
        }
    )


def _for_a_person(instance: Instance, login: "FirstLogin") -> str:
    return "\n".join(
        (
            "",
            f"  CCONTROL-M is ready   {instance.url}",
            f"  sign in with          {login.email}",
            f"  password              {login.password}",
            "",
            "  Three things to try:",
            f"    1. open {instance.url}/docs and call the API",
            "    2. .venv/bin/ccontrol projections status    is every report up to date?",
            "    3. .venv/bin/ccontrol audit verify          does the history add up?",
            "",
            "  Ctrl-C stops everything; the data stays.",
            "",
        )
    )


def _choose_port(wanted: int | None) -> int:
    if wanted is not None:
        if not port_is_free(wanted):
            raise _CannotStart(_USAGE, f"port {wanted} is taken; choose another one with --port")
        return wanted
    if port_is_free(_DEFAULT_PORT):
        return _DEFAULT_PORT
    port = free_port()
    say(f"port {_DEFAULT_PORT} is taken, so this is on port {port}")
    return port


@contextmanager
def _alone_in(state: Path) -> Iterator[None]:
    """Two supervisors on one folder would fight over its servers."""
    with (state / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise _CannotStart(
                _CONFLICT, f"already running on {state} (process {lock.read().strip() or '?'})"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= _PORT_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run",
        description="Start everything on this machine, in the foreground. "
        "DATABASE_URL, REDIS_URL and AMQP_URL, if set, are used instead of servers of our own.",
    )
    parser.add_argument(
        "--state", type=Path, default=_PROJECT / ".ccontrol", help="folder that keeps the data"
    )
    parser.add_argument("--port", type=_port, help=f"port of the API (default: {_DEFAULT_PORT})")
    parser.add_argument(
        "--broker", action="store_true", help="start a RabbitMQ; without, the database does its work"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line once everything is ready")
    return parser


if __name__ == "__main__":
    sys.exit(main())
