"""./run's foreground process: one line says everything, a stop is orderly, a kill leaves nobody behind."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from runtime.servers.process import LOOPBACK, free_port, port_is_free, wait_until
from runtime.up import main

pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]

_ROOT = Path(__file__).parents[2]
_ROLES = {"supervisor", "postgres", "redis", "api", "projector", "relay"}

Up = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """Starts the foreground process on a state folder of this test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DATABASE_URL", "REDIS_URL", "AMQP_URL"}
        }
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "runtime.up",
                "--state",
                str(tmp_path / "state"),
                "--json",
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_a_day_of_starts_and_stops(up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics_port = next(port for port in iter(free_port, 0) if port_is_free(port + 1))
    monkeypatch.setenv("CCONTROL_METRICS_PORT", str(metrics_port))
    first = up()
    told = _told(first)
    assert set(told) == {"url", "login", "company_id", "database_url", "redis_url", "pids"}
    assert set(told["pids"]) == _ROLES
    assert _status(told["url"], "/readyz") == 200
    description = tmp_path / "state" / "instance.json"
    assert description.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert json.loads(description.read_text())["pids"] == told["pids"]
    # Who has no doors tells its numbers all the same.
    assert "ccontrol_projection_batch_duration" in _numbers(metrics_port)
    assert wait_until(
        lambda: "ccontrol_webhook_attempt_duration" in _numbers(metrics_port + 1), timeout_seconds=30
    )

    # A second supervisor on the same folder is refused, and says who is there.
    second = up()
    _, complaint = second.communicate(timeout=60)
    assert second.returncode == 5
    assert str(first.pid) in complaint

    # A crashed API comes back.
    os.kill(told["pids"]["api"], signal.SIGKILL)
    assert wait_until(lambda: _is_again_up(description, told["pids"]["api"]), timeout_seconds=60)

    with psycopg.connect(told["database_url"]) as connection:
        connection.execute("CREATE TABLE kept_over_restarts (n int)")
    first.send_signal(signal.SIGINT)
    rest, _ = first.communicate(timeout=60)
    assert (first.returncode, rest) == (0, "")
    assert _all_gone(told["pids"].values())

    again = up()
    told_again = _told(again)
    assert told_again["login"] == told["login"]
    assert told_again["company_id"] == told["company_id"]
    with psycopg.connect(told_again["database_url"]) as connection:
        assert connection.execute("SELECT count(*) FROM kept_over_restarts").fetchone() == (0,)

    again.kill()
    again.communicate(timeout=60)
    assert wait_until(lambda: _all_gone(told_again["pids"].values()), timeout_seconds=30)


@pytest.mark.broker
def test_with_a_broker_rabbitmq_comes_and_goes_too(up: Up, rabbitmq_server: str) -> None:
    """The session's broker is asked for only to know whether this machine can have one."""
    first = up("--broker")
    told = _told(first)
    assert set(told["pids"]) == _ROLES | {"rabbitmq"}
    assert told["amqp_url"].startswith("amqp://")
    first.kill()
    first.communicate(timeout=60)
    assert wait_until(lambda: _all_gone(told["pids"].values()), timeout_seconds=30)


def test_a_wanted_port_that_is_taken_is_a_clear_error(up: Up) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        process = up("--port", str(other.getsockname()[1]))
        output, complaint = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert "is taken" in complaint


@pytest.mark.parametrize(
    ("name", "text", "arguments"),
    [
        ("DATABASE_URL", "mysql://u:hunter2@host/x", ()),
        ("REDIS_URL", "u:hunter2@host", ()),
        ("AMQP_URL", "http://u:hunter2@host", ()),
        ("NOTHING", "", ("--port", "99999")),
        ("NOTHING", "", ("--port", "0")),
        ("NOTHING", "", ("--state", "/dev/null/state")),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.setenv(name, text)
    try:
        code: object = main(["--state", str(tmp_path), *arguments])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert "hunter2" not in said.err


def _told(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, complaint = process.communicate(timeout=60)
        pytest.fail(f"up ended with {process.returncode}: {complaint}")
    told = json.loads(line)
    assert isinstance(told, dict)
    return told


def _is_again_up(description: Path, old_pid: int) -> bool:
    now = json.loads(description.read_text())
    if now["pids"].get("api") in (None, old_pid):
        return False
    try:
        return _status(now["url"], "/readyz") == 200
    except OSError:
        return False


def _numbers(port: int) -> str:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


def _status(url: str, path: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def _all_gone(pids: Any) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)
