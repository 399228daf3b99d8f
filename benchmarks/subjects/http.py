"""Commands over HTTP, beside an endpoint that does nothing: one and two API processes, real servers.

    http revise price    one stream that is known: one append
    http register        two streams nobody has seen: one read, one append
    … at half its rate   the same at a constant half of the rate it reached: how long a client waits then

Every answer is checked. The clients, the servers and PostgreSQL share the machine: with two processors the
second process has little left to run on.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import uuid4

from benchmarks.harness import Case, Operation, Result, Sample, interleaved, sample, say
from benchmarks.http_client import Connection, request
from benchmarks.peers import empty_endpoint
from benchmarks.servers import durable_postgres
from runtime.first_start import FIRST_LOGIN, FirstLogin
from runtime.servers import ValkeyServer
from runtime.servers.process import LOOPBACK, free_port

_IN_FLIGHT = 64
_PRODUCTS = 2_000
_UP_WITHIN_SECONDS = 60.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing of its own."""


async def measure(options: argparse.Namespace) -> list[Result]:
    """Everything, with one API process and with two."""
    results: list[Result] = []
    with ExitStack() as stack:
        login, environment = stack.enter_context(_prepared())
        for processes in (1, 2):
            with _serving(processes, environment) as (ours, empty):
                results += await _measured(login, ours, empty, options)
    return results


async def _measured(
    login: FirstLogin, ours: Sequence[int], empty: Sequence[int], options: argparse.Namespace
) -> list[Result]:
    processes = len(ours)
    async with _connected(ours, login) as api, _connected(empty, None) as nothing:
        await api.register_products(_PRODUCTS)
        cases = [
            _case("http empty", "fastapi", processes, nothing.empty),
            _case("http revise price", "ccontrol", processes, api.revise_price),
            _case("http register", "ccontrol", processes, api.register),
        ]
        results = await interleaved(cases, options.rounds, options.seconds)
        for result in results:
            say(f"{result.workload}: {result.rate / results[0].rate:.0%} of the empty endpoint")
        calm = [
            _paced(case, result.rate / 2, operation)
            for case, result, operation in zip(
                cases, results, (nothing.empty, api.revise_price, api.register), strict=True
            )
        ]
        return [*results, *await interleaved(calm, options.rounds, options.seconds)]


def _case(workload: str, peer: str, processes: int, operation: Operation) -> Case:
    async def run(seconds: float) -> Sample:
        return await sample(operation, _IN_FLIGHT, seconds)

    return Case(
        workload=workload,
        peer=peer,
        concurrency=_IN_FLIGHT,
        run=run,
        unit="requests/s",
        notes={"processes": processes},
    )


def _paced(case: Case, rate: float, operation: Operation) -> Case:
    """The same at a constant rate. A request that could not start in time has waited since then."""

    async def run(seconds: float) -> Sample:
        latencies: list[float] = []
        free: asyncio.Queue[int] = asyncio.Queue()
        for worker in range(_IN_FLIGHT):
            free.put_nowait(worker)
        begun = time.perf_counter()

        async def one(due: float, worker: int) -> None:
            await operation(worker)
            latencies.append(time.perf_counter() - due)
            free.put_nowait(worker)

        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                due = begun + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(one(due, await free.get()))
        return Sample(len(latencies), time.perf_counter() - begun, latencies)

    return Case(
        workload=f"{case.workload}, half",
        peer=case.peer,
        concurrency=case.concurrency,
        run=run,
        unit=case.unit,
        notes=case.notes,
    )


# --- what is asked ------------------------------------------------------------------------------------


@dataclass
class _Clients:
    """One connection a worker, spread over the processes."""

    connections: Sequence[Connection]
    login: FirstLogin | None

    def __post_init__(self) -> None:
        self._products: list[str] = []
        self._numbers = count()
        self._token = ""

    async def empty(self, worker: int) -> int:
        """The endpoint that does nothing; as many bytes as a command."""
        body = json.dumps({"price": "10.50"}).encode()
        status, _ = await self.connections[worker].ask(request(empty_endpoint.PATH, body, self._headers()))
        assert status == 200
        return 1

    async def revise_price(self, worker: int) -> int:
        """A product's price becomes another one."""
        number = next(self._numbers)
        product = self._products[number % len(self._products)]
        body = json.dumps({"price": f"{1 + number % 9_999}.{10 + number % 83}"}).encode()
        status, answer = await self.connections[worker].ask(
            request(f"/v1/products/{product}/revise-price", body, self._headers())
        )
        assert status == 200, answer
        return 1

    async def register(self, worker: int) -> int:
        """A new product."""
        await self._register(worker)
        return 1

    async def _register(self, worker: int) -> str:
        body = json.dumps({"sku": f"S-{uuid4().hex[:20]}", "name": "Caneta azul", "price": "2.50"}).encode()
        status, answer = await self.connections[worker].ask(request("/v1/products", body, self._headers()))
        assert status == 201, answer
        return str(json.loads(answer)["resource"]["id"])

    async def register_products(self, number: int) -> None:
        """What prices can be revised of."""
        await self.sign_in()
        left = iter(range(number))

        async def work(worker: int) -> None:
            for _ in left:
                self._products.append(await self._register(worker))

        await asyncio.gather(*(work(worker) for worker in range(len(self.connections))))

    async def sign_in(self) -> None:
        """Get a token."""
        assert self.login is not None
        body = json.dumps({"email": self.login.email, "password": self.login.password}).encode()
        status, answer = await self.connections[0].ask(request("/v1/auth/login", body))
        assert status == 200, answer
        self._token = json.loads(answer)["access_token"]

    def _headers(self) -> list[tuple[str, str]]:
        return [("Authorization", f"Bearer {self._token}"), ("Idempotency-Key", uuid4().hex)]


@asynccontextmanager
async def _connected(ports: Sequence[int], login: FirstLogin | None) -> AsyncIterator[_Clients]:
    connections = [
        await Connection.open(LOOPBACK, ports[worker % len(ports)]) for worker in range(_IN_FLIGHT)
    ]
    try:
        yield _Clients(connections, login)
    finally:
        for connection in connections:
            connection.close()


# --- what is asked of ---------------------------------------------------------------------------------


@contextmanager
def _prepared() -> Iterator[tuple[FirstLogin, dict[str, str]]]:
    """Servers, tables, a company with its owner; and the environment of the processes to start."""
    with tempfile.TemporaryDirectory(prefix="ccontrol-benchmark-") as folder, durable_postgres() as postgres:
        valkey = ValkeyServer(Path(folder) / "valkey")
        valkey.start()
        try:
            environment = {
                **os.environ,
                "DATABASE_URL": postgres.url,
                "REDIS_URL": valkey.url,
                "CCONTROL_STATE": folder,
            }
            subprocess.run(
                [sys.executable, "-m", "runtime.prepare"], env=environment, check=True, capture_output=True
            )
            yield FirstLogin(**json.loads((Path(folder) / FIRST_LOGIN).read_text())), environment
        finally:
            valkey.stop()


@contextmanager
def _serving(processes: int, environment: dict[str, str]) -> Iterator[tuple[list[int], list[int]]]:
    """So many API processes and as many of the endpoint that does nothing; the ports of each."""
    ours, empty = [free_port() for _ in range(processes)], [free_port() for _ in range(processes)]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "runtime.cli", "serve", "api"],
            env={**environment, "CCONTROL_PORT": str(port)},
            stderr=subprocess.DEVNULL,
        )
        for port in ours
    ]
    started += [
        subprocess.Popen([sys.executable, "-m", "benchmarks.peers.empty_endpoint", str(port)])
        for port in empty
    ]
    try:
        for port in [*ours, *empty]:
            _wait_for(port)
        yield ours, empty
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=60)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _UP_WITHIN_SECONDS
    while True:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
