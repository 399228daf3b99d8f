"""Real processes on servers of their own, and a wire before each that may be broken.

clients ──wire──▶ API, API ──wire──▶ PostgreSQL ◀── projector
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from runtime.first_start import FIRST_LOGIN
from runtime.servers import PostgresServer, ValkeyServer
from runtime.servers.process import free_port, last_lines, processes_inside
from runtime.supervisor import OwnProcess
from tests.faults.proxy import Proxy
from tests.faults.wire import HttpFraming

_ROOT = Path(__file__).parents[2]
_READY_SECONDS_MAX = 60.0


class House:
    """Made by `opened`. Whatever is killed comes back with `heal`."""

    def __init__(self, directory: Path, postgres: PostgresServer, apis: int) -> None:
        self.directory = directory
        self.postgres = postgres
        self.valkey = ValkeyServer(directory / "valkey")
        self.ports = [free_port() for _ in range(apis)]
        self.apis = [self._own("api", port) for port in self.ports]
        self.projector = self._own("projector", 0)
        self.database_wire: Proxy = Proxy("", 0, HttpFraming, lambda request: None)
        self.web_wires: list[Proxy] = []

    def _own(self, role: str, port: int) -> OwnProcess:
        return OwnProcess(
            [sys.executable, "-P", "-m", "runtime.cli", "serve", role],
            log=self.directory / f"{role}-{port}.log",
            directory=_ROOT,
            environment=lambda: self._environment(role, port),
        )

    def _environment(self, role: str, port: int) -> Mapping[str, str]:
        url = self.postgres.url
        return {
            **os.environ,
            "DATABASE_URL": self.database_wire.url(url) if role == "api" else url,
            "REDIS_URL": self.valkey.url,
            "CCONTROL_STATE": str(self.directory),
            "CCONTROL_PORT": str(port),
        }

    async def open(self) -> None:
        """Everything, from nothing."""
        await asyncio.to_thread(self.postgres.start)
        await asyncio.to_thread(self.valkey.start)
        self.database_wire = await Proxy.before(self.postgres.url)
        await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-P", "-m", "runtime.prepare"],
            cwd=_ROOT,
            env=self._environment("prepare", 0),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        self.web_wires = [await Proxy.before(f"http://127.0.0.1:{port}", HttpFraming) for port in self.ports]
        await self.heal()

    async def close(self) -> None:
        """Nothing is left running."""
        for own in (*self.apis, self.projector):
            if own.running:
                os.kill(own.pid, signal.SIGKILL)
                await asyncio.to_thread(own.stop)
        for wire in (*self.web_wires, self.database_wire):
            await wire.close()
        await asyncio.to_thread(self.postgres.kill)
        await asyncio.to_thread(self.valkey.stop)

    async def heal(self) -> None:
        """Whole wires, everybody running, everybody ready."""
        for wire in (*self.web_wires, self.database_wire):
            wire.choose = lambda request: None
        if not self.postgres.running:
            await asyncio.to_thread(self.postgres.start)
        for own in (*self.apis, self.projector):
            if not own.running:
                own.start()
        async with httpx2.AsyncClient(timeout=10) as http:
            await asyncio.gather(*(self._ready(http, port) for port in self.ports))

    async def _ready(self, http: httpx2.AsyncClient, port: int) -> None:
        answer = "nothing"
        try:
            async with asyncio.timeout(_READY_SECONDS_MAX):
                while True:
                    try:
                        found = await http.get(f"http://127.0.0.1:{port}/readyz")
                        answer = found.text
                        if found.status_code == 200:
                            return
                    except httpx2.TransportError as error:
                        answer = type(error).__name__
                    if not self.projector.running:
                        self.projector.start()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            log = last_lines(self.directory / f"api-{port}.log")
            raise AssertionError(f"not ready again: {answer}\n{log}") from None

    async def sign_in(self) -> str:
        """A token of the owner's, past all wires: signing in is not what is tested here."""
        body = {name: self._login()[name] for name in ("email", "password")}
        async with httpx2.AsyncClient(timeout=10) as http:
            while True:
                for port in self.ports:
                    try:
                        answer = await http.post(f"http://127.0.0.1:{port}/v1/auth/login", json=body)
                    except httpx2.TransportError:
                        continue
                    if answer.status_code == 200:
                        return str(answer.json()["access_token"])
                await asyncio.sleep(0.2)

    @property
    def company(self) -> str:
        """The first company, as clients name it."""
        return self._login()["company_id"]

    def _login(self) -> dict[str, str]:
        known: dict[str, str] = json.loads((self.directory / FIRST_LOGIN).read_text())
        return known

    def sessions(self) -> list[int]:
        """PostgreSQL's processes, without the one that watches over them."""
        inside = processes_inside(self.postgres.directory / "data")
        return [pid for pid in inside if pid != self.postgres.pid]


@asynccontextmanager
async def opened(
    directory: Path, *, apis: int = 2, postgres: PostgresServer | None = None
) -> AsyncIterator[House]:
    """A house, closed again whatever happens."""
    house = House(directory, postgres or PostgresServer(directory / "postgres"), apis)
    try:
        await house.open()
        yield house
    finally:
        await house.close()
