"""One installation, started as a user starts it, for the tests of this folder."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from runtime.servers.process import free_port

_ROOT = Path(__file__).parents[2]


@dataclass
class House:
    """A running installation and a client that is signed in to it."""

    state: Path
    described: dict[str, Any]
    client: httpx2.Client

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> httpx2.Response:
        """A command."""
        return self.client.post(path, json=body, headers={"Idempotency-Key": key or str(uuid4())})

    def get(self, path: str, token: str | None = None) -> httpx2.Response:
        """A query, fresh enough for `token`."""
        headers = {"Consistency-Token": token, "Prefer": "wait=10"} if token else {}
        return self.client.get(path, headers=headers)

    def ccontrol(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, on this installation."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "runtime.cli", *arguments],
            env={**os.environ, "CCONTROL_STATE": str(self.state)},
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """./run without its bootstrap; stopped as Ctrl-C would stop it."""
    state = tmp_path_factory.mktemp("house") / "state"
    environment = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL"}}
    port = str(free_port())
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "runtime.up", "--state", str(state), "--port", port, "--json"],
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            described = json.loads(process.stdout.readline())
            with httpx2.Client(base_url=described["url"], timeout=60) as client:
                signed_in = client.post("/v1/auth/login", json=described["login"])
                signed_in.raise_for_status()
                client.headers["Authorization"] = f"Bearer {signed_in.json()['access_token']}"
                yield House(state, described, client)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
