"""One RabbitMQ, the machine's own or fetched (`debian.py`), as a private node on loopback ports.

It brings its own epmd: left to itself a node starts one as a daemon that outlives it, and under load may die
because that one is not up yet.
"""

import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from runtime.servers import debian, process
from runtime.servers.process import LOOPBACK
from runtime.servers.server import Server

_USER = "ccontrol"
# No busy waiting: the machine has other things to do. And no epmd but ours.
_ERLANG_ARGUMENTS = (
    "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none -start_epmd false"
)


class RabbitMQServer(Server):
    """A private RabbitMQ on a loopback port; `directory` holds its data, password, cookie and logs."""

    name = "RabbitMQ"

    def __init__(self, directory: Path, *, port: int | None = None, log: Path | None = None) -> None:
        super().__init__(directory, port=port, log=log)
        self._epmd: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://{_USER}:{self._password}@{LOOPBACK}:{self._port}/"

    def start(self) -> None:
        """Start and wait until it speaks AMQP; on a used port choose another."""
        found = debian.rabbitmq()
        self._prepare()
        self.kill()  # an epmd whose node has died
        self._data.mkdir(mode=0o700, exist_ok=True)
        process.wait_for_predecessors(self._data)
        cookie = self._directory / ".erlang.cookie"
        if not cookie.exists():
            process.kept_password(cookie)
            cookie.chmod(0o400)
        self._launch_on_a_free_port(lambda: self._launch(found))

    def stop(self) -> None:
        """Orderly; takes some seconds."""
        if self._process is not None:
            process.stop(self._process, signal.SIGTERM)
        self.kill()

    def kill(self) -> None:
        """As a power cut would; the node first, so that it does not miss its epmd."""
        super().kill()
        if self._epmd is not None:
            process.kill(self._epmd)
            self._epmd = None

    def _launch(self, found: debian.Installation) -> bool:
        """One attempt; False if it ended before it answered, which is how a port taken meanwhile shows."""
        names = process.free_port()
        self._epmd = process.spawn(
            [str(found.epmd), "-port", str(names), "-address", LOOPBACK],
            log=self._log,
            death_signal=signal.SIGKILL,
            directory=Path("/"),
            environment={**found.environment, "HOME": str(self._directory)},
        )
        if not process.wait_until(lambda: _listens(names), timeout_seconds=30):
            return False
        self._write_configuration()
        child = self._process = process.spawn(
            [str(found.server)],
            log=self._log,
            # Nothing is lost by it: what was confirmed is on disk. Its orderly stop takes seconds.
            death_signal=signal.SIGKILL,
            directory=self._data,
            environment={**found.environment, **self._environment(names)},
        )
        answered = process.wait_until(
            lambda: child.poll() is not None or self._speaks_amqp(), timeout_seconds=120
        )
        if not answered:
            self.kill()
            raise self._failed("did not answer in time")
        return self.running

    def _write_configuration(self) -> None:
        """The user is made when the node starts for the first time."""
        lines = (
            f"listeners.tcp.local = {LOOPBACK}:{self._port}",
            f"default_user = {_USER}",
            f"default_pass = {self._password}",
            "log.file.level = warning",
            "",
        )
        process.write_private(self._directory / "rabbitmq.conf", "\n".join(lines))
        process.write_private(self._directory / "advanced.config", "[].\n")
        process.write_private(self._directory / "enabled_plugins", "[].\n")

    def _environment(self, names: int) -> Mapping[str, str]:
        here, data = self._directory, self._data
        return {
            "HOME": str(here),  # the cookie is there
            "LC_ALL": "C.UTF-8",
            # The start script then becomes the server, instead of waiting for it.
            "RUNNING_UNDER_SYSTEMD": "1",
            "RABBITMQ_NODENAME": f"{_USER}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_DIST_PORT": str(process.free_port()),
            "RABBITMQ_MNESIA_BASE": str(data),
            "RABBITMQ_QUORUM_DIR": str(data / "quorum"),
            "RABBITMQ_STREAM_DIR": str(data / "stream"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(data / "feature_flags"),
            "RABBITMQ_LOG_BASE": str(here / "logs"),
            "RABBITMQ_PID_FILE": str(here / "pid"),
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(here / "generated"),
            # What the machine's own RabbitMQ is told is none of this one's business.
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_CRASH_DUMP": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG_ARGUMENTS,
            "RABBITMQ_CTL_ERL_ARGS": _ERLANG_ARGUMENTS,
        }

    def _speaks_amqp(self) -> bool:
        """Whether our greeting is answered with a method frame."""
        try:
            with socket.create_connection((LOOPBACK, self._port or 0), timeout=2) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
        except OSError:
            return False


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False
