"""What every server we start is: a folder, a loopback port, a password, one process that is tied to ours."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from runtime.servers import process
from runtime.servers.process import ServerFailed

_PORT_ATTEMPTS = 5


class Server:
    """Everything of it is in `directory`. It is not running until `start`."""

    name: ClassVar[str]

    def __init__(self, directory: Path, *, port: int | None = None, log: Path | None = None) -> None:
        self._directory = directory.absolute()
        self._log = (log or self._directory / "log").absolute()
        self._port = port
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailed(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            process.kill(self._process)
            self._process = None

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def _prepare(self) -> None:
        """The folder and the password. Raises ServerFailed when it runs already."""
        if self.running:
            raise ServerFailed(f"{self.name} is already running")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._password = process.kept_password(self._directory / "password")

    def _launch_on_a_free_port(self, launch: Callable[[], bool]) -> None:
        """Again on another port where `launch` says that it ended before it answered: the port was taken."""
        for _ in range(_PORT_ATTEMPTS):
            if self._port is None or not process.port_is_free(self._port):
                self._port = process.free_port()
            if launch():
                return
            self.kill()
        raise self._failed("did not start")

    def _failed(self, how: str) -> ServerFailed:
        return ServerFailed(f"{self.name} {how}:\n{process.last_lines(self._log)}")
