"""The supervisor's rules: same order every time, patience with crashes, nobody left at the end."""

import os
import signal
import sys
from pathlib import Path

from runtime.keys import CHECKPOINTS_KEY, ROOT_KEY, TOKENS_KEY, ensure_keys
from runtime.servers.process import wait_until
from runtime.supervisor import OwnProcess, Supervisor
from write_model.store.personal_data import KeyRing


def _sleeper(tmp_path: Path) -> OwnProcess:
    return OwnProcess(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        log=tmp_path / "log",
        directory=tmp_path,
        environment=lambda: os.environ,
    )


class _Diary:
    """A supervised process that only writes down what happens to it."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self._name = name
        self._diary = diary
        self.running = False
        self.pid = 1

    def start(self) -> None:
        self.running = True
        self._diary.append(f"start {self._name}")

    def stop(self) -> None:
        self.running = False
        self._diary.append(f"stop {self._name}")


def test_stopping_is_starting_in_reverse() -> None:
    diary: list[str] = []
    supervisor = Supervisor(diary.append)
    for name in ("postgres", "redis", "api"):
        supervisor.start(name, _Diary(name, diary))
    supervisor.stop()
    assert diary == [
        "start postgres", "start redis", "start api",
        "stop api", "stop redis", "stop postgres",
    ]  # fmt: skip


def test_a_killed_process_is_started_again_after_a_pause(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    supervisor.start("api", _sleeper(tmp_path))
    first = supervisor.pids()["api"]
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: "api" not in supervisor.pids(), timeout_seconds=60)
    assert not supervisor.tend()
    assert wait_until(supervisor.tend, timeout_seconds=60)
    assert supervisor.pids()["api"] != first
    assert len(said) == 1
    assert supervisor.crashes_of("api") == 1
    supervisor.stop()
    assert supervisor.pids() == {}


def test_crashes_in_a_row_are_met_with_longer_pauses() -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    hopeless = _Diary("api", [])
    supervisor.start("api", hopeless)
    for _ in range(2):
        hopeless.running = False
        assert wait_until(supervisor.tend, timeout_seconds=60)
    assert [line.rsplit(" ", 2)[-2] for line in said] == ["0.5", "1.0"]


def test_keys_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    ensure_keys(tmp_path / "keys")
    made = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    assert set(made) == {ROOT_KEY, TOKENS_KEY, CHECKPOINTS_KEY}
    assert KeyRing.read(tmp_path / "keys" / ROOT_KEY).newest == 1
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}
    ensure_keys(tmp_path / "keys")
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == made
