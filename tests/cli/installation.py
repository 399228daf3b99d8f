"""A whole installation for tests of the command line, and the command line called on it."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema_rs

from runtime.cli.program import run
from runtime.cli.schema import text_of
from runtime.servers.process import free_port

_ROOT = Path(__file__).parents[2]
_ELSEWHERE = {"DATABASE_URL", "REDIS_URL", "AMQP_URL", "CCONTROL_URL", "CCONTROL_TOKEN", "CCONTROL_STATE"}


@dataclass(frozen=True)
class Said:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its last line."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def data(self) -> Any:
        """The data of its envelope."""
        assert self.json["schema"] == "ccontrol.cli/v1"
        return self.json["data"]


@dataclass(frozen=True)
class Installation:
    """One that runs."""

    state: Path
    told: dict[str, Any]

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Said:
        """Call the command line; in this process, because starting one for each call takes longer."""
        wanted = _clean() | {"CCONTROL_STATE": str(self.state)} | environment
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, wanted, clear=True),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = run(arguments)
        if "json" in arguments:
            _check_shape(out.getvalue().splitlines()[-1], arguments)
        return Said(code, out.getvalue(), err.getvalue())

    def start(self, *arguments: str, terminal: int | None = None) -> "subprocess.Popen[str]":
        """The command line in a process of its own; its errors go to a terminal, if there is one."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "runtime.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if terminal is None else terminal,
            text=True,
            env=_clean() | {"CCONTROL_STATE": str(self.state), "TERM": "xterm", "COLUMNS": "160"},
            cwd=_ROOT,
        )


def _check_shape(answer: str, arguments: Sequence[str]) -> None:
    """As it was promised."""
    found = json.loads(answer)
    command = found.get("command") or ".".join(arguments[:2])
    jsonschema_rs.validator_for(json.loads(text_of(command))).validate(found)


@contextmanager
def installation(state: Path) -> Iterator[Installation]:
    """Start everything, and stop it."""
    up = subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "runtime.up",
            "--state",
            str(state),
            "--port",
            str(free_port()),
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_clean(),
        cwd=_ROOT,
    )
    try:
        assert up.stdout is not None
        line = up.stdout.readline()
        assert line, up.communicate(timeout=60)[1]
        yield Installation(state, json.loads(line))
    finally:
        if up.poll() is None:
            up.send_signal(signal.SIGTERM)
        up.communicate(timeout=60)


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
