"""The command line as a whole: fast help, honest exit codes, a promised shape."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis.exceptions

from runtime.cli import instance
from runtime.cli.outcome import Exit
from runtime.cli.program import run
from runtime.keys import ensure_keys

_ROOT = Path(__file__).parents[2]
_HEAVY = (
    "asyncio",
    "psycopg",
    "fastapi",
    "sqlalchemy",
    "eventsourcing",
    "httpx2",
    "pydantic",
    "rich",
    "alembic",
)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No installation, whatever the machine of the developer has."""
    for name in ("CCONTROL_URL", "CCONTROL_TOKEN", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CCONTROL_STATE", str(tmp_path / "none"))


def test_help_loads_nothing_heavy() -> None:
    """Help in a blink: importing any of these would take longer than all the rest."""
    program = (
        "import sys; from runtime.cli.program import run; code = run(['--help']); "
        f"print([name for name in {_HEAVY!r} if name in sys.modules]); sys.exit(code)"
    )
    asked = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.splitlines()[-1] == "[]"
    assert "Examples" in asked.stdout
    groups = "audit companies db events import jobs projections ps report serve store"
    for group in groups.split():
        assert f"\n  {group} " in asked.stdout


@pytest.mark.parametrize(
    "group",
    ["audit", "companies", "db", "events", "import", "projections", "report", "serve", "store", "users"],
)
def test_every_group_says_what_it_can_do(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([group, "--help"]) == Exit.DONE
    assert "Commands:" in capsys.readouterr().out
    assert run([group]) == Exit.USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["projections", "status", "--nonsense"],
        ["projections", "rebuild"],
        ["projections", "rebuild", "ledger_lines", "--all"],
        ["projections", "status", "--max-lag", "soon"],
        ["report", "dre", "--period", "2018-05", "--from", "2018-01"],
        ["report", "trial-balance", "--period", "2018-13"],
        ["audit", "replay", "sale", "x", "--version", "1", "--position", "1"],
        ["import", "marketplace", "/no/such/folder"],
        ["import", "marketplace", ".", "--settle-until", "tomorrow"],
        ["events", "show", "evt_1"],
        ["events", "tail", "-o", "json"],
        ["whoami"],
    ],
)
def test_wrong_calls_end_with_2_and_a_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == Exit.USAGE
    said = capsys.readouterr()
    assert said.err.startswith("ccontrol: ")
    assert "Traceback" not in said.err


def test_what_libraries_log_is_no_data(capfd: pytest.CaptureFixture[str]) -> None:
    program = (
        "import structlog; from runtime.cli.awaiting import awaited\n"
        "async def work(): structlog.get_logger().debug('small'); structlog.get_logger().warning('large')\n"
        "awaited(work())"
    )
    subprocess.run([sys.executable, "-P", "-c", program], cwd=_ROOT, check=True)
    said = capfd.readouterr()
    assert said.out == ""
    assert "large" in said.err
    assert "small" not in said.err


def test_bytes_that_are_no_text_are_refused_and_shown_escaped() -> None:
    command = [sys.executable.encode(), *b"-P -m runtime.cli events show a\xff -o json".split()]
    asked = subprocess.run(command, cwd=_ROOT, capture_output=True, check=False)
    assert asked.returncode == Exit.USAGE, asked.stderr
    assert json.loads(asked.stdout)["ok"] is False
    assert b"Traceback" not in asked.stderr


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "\x1b[2J", "x" * 501, "\udcff"])
def test_a_reason_is_one_line_that_says_something(reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    for act in (["pause", "x"], ["resume", "x"], ["skip", "x", "--position", "1"]):
        assert run(["projections", *act, "--reason", reason]) == Exit.USAGE
        assert "--reason" in capsys.readouterr().err


def test_an_error_has_the_shape_of_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["projections", "status", "-o", "json"]) == Exit.USAGE
    said = json.loads(capsys.readouterr().out)
    assert (said["schema"], said["command"], said["ok"], said["data"]) == (
        "ccontrol.cli/v1",
        "projections.status",
        False,
        {},
    )
    assert said["diagnostics"][0]["level"] == "error"


def test_an_installation_that_is_not_running_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCONTROL_STATE", str(tmp_path))
    assert run(["ps"]) == Exit.UNREACHABLE
    assert "./run" in capsys.readouterr().err


def test_keys_that_are_not_there_are_no_internal_error(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    assert run(["projections", "status"]) == Exit.USAGE
    assert "CCONTROL_STATE" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["projections", "status"], ["audit", "verify"], ["dlq", "list"]])
def test_a_database_of_another_version_is_no_internal_error(
    arguments: list[str],
    empty_database_url: str,
    migrated_template: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As between an upgrade of the program and the first start of its projector."""
    ensure_keys(tmp_path / "none" / "keys")
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    assert run(arguments) == Exit.CONFLICT
    assert "another version" in capsys.readouterr().err


def test_a_database_that_does_not_answer_is_unreachable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    for command in (["audit", "verify"], ["db", "current"], ["events", "tail", "--no-follow"]):
        assert run(command) == Exit.UNREACHABLE
        assert "the database does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "token"), [("nonsense", "x"), ("http://127.0.0.1:1", "é"), ("http://127.0.0.1:1", "a\nb")]
)
def test_an_address_or_token_that_cannot_be_one_is_said_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch, url: str, token: str
) -> None:
    monkeypatch.setenv("CCONTROL_URL", url)
    monkeypatch.setenv("CCONTROL_TOKEN", token)
    assert run(["whoami"]) == Exit.USAGE


@pytest.mark.parametrize("name", ["", "  ", "Loja\u202e", "x" * 161])
def test_a_company_has_a_name_that_can_be_stored(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["companies", "register", name, "--owner-email", "ana@example.com"]) == Exit.USAGE
    assert "The text" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://u:hunter2@h/x", "postgresql://[::1", "postgresql://u:hunter2@h:99999/x"]
)
@pytest.mark.parametrize("command", ["projections status", "projections show x", "jobs list", "db current"])
def test_what_is_no_address_of_a_database_is_a_mistake_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, command: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    assert run(command.split()) == Exit.USAGE
    said = capsys.readouterr().err
    assert "DATABASE_URL" in said
    assert "hunter2" not in said


def test_a_process_without_its_settings_says_which_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/x")
    for process in ("api", "projector", "relay", "consumers", "webhooks"):
        assert run(["serve", process]) == Exit.USAGE
        assert capsys.readouterr().err == "ccontrol: REDIS_URL is not set\n"
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("CCONTROL_METRICS_PORT", "many")
    assert run(["serve", "projector"]) == Exit.USAGE
    assert capsys.readouterr().err == "ccontrol: CCONTROL_METRICS_PORT cannot be used\n"


def test_the_database_of_one_installation_and_the_redis_of_another_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    described = {"database_url": "postgresql://127.0.0.1:1/here", "redis_url": "redis://127.0.0.1:1/0"}
    (tmp_path / "instance.json").write_text(json.dumps(described))
    monkeypatch.setenv("CCONTROL_STATE", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/elsewhere")
    assert run(["projections", "rebuild", "sales_orders"]) == Exit.USAGE
    assert "REDIS_URL" in capsys.readouterr().err
    # Set to nothing is not set.
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("REDIS_URL", "")
    assert instance.settings().database_url == described["database_url"]
    assert instance.settings().redis_url == described["redis_url"]


def test_a_remote_installation_has_no_database_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCONTROL_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CCONTROL_TOKEN", "token")
    assert run(["audit", "verify"]) == Exit.USAGE
    assert "needs the database itself" in capsys.readouterr().err
    assert run(["whoami"]) == Exit.UNREACHABLE


def test_a_failure_of_our_own_has_a_report_id(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("runtime.cli.instance.description", broken)
    assert run(["ps"]) == Exit.INTERNAL
    assert "report id" in capsys.readouterr().err


@pytest.mark.parametrize(
    "kind", ["ConnectionError", "TimeoutError", "AuthenticationError", "OutOfMemoryError"]
)
def test_a_redis_that_does_not_answer_or_refuses_is_not_called_the_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    def refused() -> None:
        raise getattr(redis.exceptions, kind)("redis://:hunter2@host")

    monkeypatch.setattr("runtime.cli.instance.description", refused)
    assert run(["ps"]) == Exit.UNREACHABLE
    said = capsys.readouterr().err
    assert said.startswith("ccontrol: Redis ")
    assert "hunter2" not in said


def test_a_new_epoch_is_begun_by_nobody_in_passing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run(["store", "raise-epoch", "--reason", "restored"]) == Exit.REFUSED
    assert "--yes" in capsys.readouterr().err
    assert run(["store", "raise-epoch", "--reason", " ", "--yes"]) == Exit.USAGE
    assert run(["store", "raise-epoch", "--yes"]) == Exit.USAGE


def test_an_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("runtime.cli.instance.description", interrupted)
    assert run(["ps"]) == Exit.INTERRUPTED


def test_ps_says_who_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCONTROL_STATE", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    pids = {"api": os.getpid(), "projector": gone.pid}
    (tmp_path / "instance.json").write_text(json.dumps({"url": "", "pids": pids}))
    assert run(["ps", "-o", "json"]) == Exit.DONE
    said = json.loads(capsys.readouterr().out)
    assert said["data"]["roles"] == [
        {"role": "api", "pid": os.getpid(), "running": True},
        {"role": "projector", "pid": gone.pid, "running": False},
    ]
    assert [each["subject"] for each in said["diagnostics"]] == ["projector"]


def test_version_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == Exit.DONE
    assert capsys.readouterr().out.strip() == "0.1.0"
