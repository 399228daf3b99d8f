"""Keeps a few processes alive: started in a fixed order, again after a crash, stopped in reverse order."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from runtime.servers import process
from runtime.servers.process import ServerFailed

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
# Who has run this long was well: the next crash starts again with the short pause.
_HEALTHY_AFTER_SECONDS = 60.0


class Supervised(Protocol):
    """A process that can be started again: a server, or one of our own."""

    @property
    def running(self) -> bool: ...
    @property
    def pid(self) -> int: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class OwnProcess:
    """One of our own processes; its output goes to its log."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        directory: Path,
        environment: Callable[[], Mapping[str, str]],
    ) -> None:
        self._command = command
        self._log = log
        self._directory = directory
        # Asked at every start: a server may have come back on another port.
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailed(f"{' '.join(self._command)} is not running")
        return self._process.pid

    def start(self) -> None:
        self._process = process.spawn(
            self._command,
            log=self._log,
            # Nothing is lost by it: whatever was acknowledged is in the database. A gentler signal could
            # leave an orphan that hangs.
            death_signal=signal.SIGKILL,
            directory=self._directory,
            environment=self._environment(),
        )

    def stop(self) -> None:
        if self._process is not None:
            process.stop(self._process, signal.SIGTERM, timeout_seconds=15)


class _Role:
    """A supervised process and what we remember of its crashes."""

    def __init__(self, supervised: Supervised) -> None:
        self.supervised = supervised
        self.started_at = 0.0
        self.crashes = 0
        self.retry_at: float | None = None

    def start(self) -> None:
        self.retry_at = None
        self.started_at = time.monotonic()
        self.supervised.start()

    def note_crash(self) -> float:
        now = time.monotonic()
        if now - self.started_at > _HEALTHY_AFTER_SECONDS:
            self.crashes = 0
        pause = min(_FIRST_PAUSE_SECONDS * 2.0**self.crashes, _LONGEST_PAUSE_SECONDS)
        self.crashes += 1
        self.retry_at = now + pause
        return pause


class Supervisor:
    """Starts in the order of adding, restarts who crashed, stops in reverse order. Main thread only."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._roles: dict[str, _Role] = {}
        self._report = report

    def start(self, name: str, supervised: Supervised) -> None:
        """Take charge of a process and start it."""
        role = self._roles[name] = _Role(supervised)
        role.start()

    def tend(self) -> bool:
        """One look at everybody; True if a process was started again, so that ids have changed."""
        changed = False
        for name, role in self._roles.items():
            if role.supervised.running:
                continue
            if role.retry_at is None:
                self._report(f"{name} ended unexpectedly; starting it again in {role.note_crash():.1f} s")
            elif time.monotonic() >= role.retry_at:
                changed = self._restart(name, role) or changed
        return changed

    def restart(self, name: str) -> None:
        """Stop and start at once, for somebody who must learn something new."""
        role = self._roles[name]
        role.supervised.stop()
        role.start()

    def crashes_of(self, name: str) -> int:
        return self._roles[name].crashes

    def pids(self) -> dict[str, int]:
        return {name: role.supervised.pid for name, role in self._roles.items() if role.supervised.running}

    def stop(self) -> None:
        """Stop everybody, last started first."""
        for role in reversed(self._roles.values()):
            role.supervised.stop()

    def _restart(self, name: str, role: _Role) -> bool:
        try:
            role.start()
        except ServerFailed as failure:
            self._report(f"{name}: {failure}; trying again in {role.note_crash():.1f} s")
            return False
        return True
