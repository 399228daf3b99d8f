"""From a command's acceptance to its being seen: through HTTP, with the projector in a process of its own.

A whole installation (`./run` without its bootstrap) is given commands at a constant rate, whether or not it
keeps up: the n-th starts at its second, so that a stall is felt by all who come into it. When a command is
accepted, its `Consistency-Token` goes with the query that must show it. Measured are

accepted    from sending the command to its answer
visible     from that answer to the answer of the query, which must hold what was written
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from benchmarks.harness import Case, Result, Sample, interleaved, say
from runtime.servers.process import free_port

_ROOT = Path(__file__).parents[2]
_WARM_UP_SECONDS = 3.0
_IDLE_SECONDS_MAX = 2.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """How fast the commands come."""
    parser.add_argument("--rate", type=int, action="append", default=[], help="commands/s; may be repeated")


async def measure(options: argparse.Namespace) -> list[Result]:
    """Every rate in its turn."""
    with installation() as described:
        client = Client(described["url"])
        await client.sign_in(described["login"])
        await Load(client, 50).run(_WARM_UP_SECONDS)
        results = []
        for rate in options.rate or [100, 200]:
            load = Load(client, rate)
            cases = [
                Case(workload=f"{rate} commands/s", peer=what, concurrency=0, run=run, unit="pairs/s")
                for what, run in (("accepted", load.run), ("visible", load.seen))
            ]
            results += await interleaved(cases, options.rounds, max(options.seconds, 5.0))
            say(f"stale answers with the token: {load.stale}; failures: {load.failures}")
            assert not load.stale, "a read that brought a token missed its own write"
        client.close()
    return results


@contextmanager
def installation() -> Iterator[dict[str, Any]]:
    """A new one, on a free port, stopped as Ctrl-C would stop it."""
    environment = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL"}}
    with tempfile.TemporaryDirectory(prefix="ccontrol-lag-") as folder:
        state = ["--state", str(Path(folder) / "state"), "--port", str(free_port()), "--json"]
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "runtime.up", *state],
            cwd=_ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                yield json.loads(process.stdout.readline())
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(60)


class Client:
    """Just enough HTTP: on two cores, what the client costs is taken from those who are measured."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._authorization = ""

    async def sign_in(self, login: dict[str, str]) -> None:
        """Use this person's token from now on."""
        status, _, body = await self.call("POST", "/v1/auth/login", json.dumps(login))
        assert status == 200, body
        self._authorization = f"Authorization: Bearer {json.loads(body)['access_token']}\r\n"

    async def call(
        self, method: str, path: str, body: str = "", headers: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body; on a connection that is kept."""
        reader, writer = await self._connection()
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{self._authorization}{headers}"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}\r\n{body}".encode())
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        answered = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)
        }
        content = await reader.readexactly(int(answered.get("content-length", 0)))
        self._idle.append((time.monotonic(), reader, writer))
        return int(lines[0].split()[1]), answered, content

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The one used last, unless the server may be about to hang up on it; else a new one."""
        while self._idle:
            used, reader, writer = self._idle.pop()
            if time.monotonic() - used < _IDLE_SECONDS_MAX:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    def close(self) -> None:
        """Hang up."""
        for _, _, writer in self._idle:
            writer.close()


class Load:
    """Commands at a constant rate, each followed by the query that must show it."""

    def __init__(self, client: Client, rate: int) -> None:
        self._client = client
        self._rate = rate
        self._seen: Sample | None = None
        self.stale = 0
        self.failures = 0

    async def run(self, seconds: float) -> Sample:
        """How long until commands were accepted; `seen` then says how long until they were visible."""
        begun = time.perf_counter()
        pairs = []
        for number in range(int(seconds * self._rate)):
            await asyncio.sleep(begun + number / self._rate - time.perf_counter())
            pairs.append(asyncio.create_task(self._pair(begun + number / self._rate)))
        timed = [pair for pair in await asyncio.gather(*pairs) if pair is not None]
        taken = time.perf_counter() - begun
        self._seen = Sample(len(timed), taken, [seen for _, seen in timed])
        return Sample(len(timed), taken, [accepted for accepted, _ in timed])

    async def seen(self, seconds: float) -> Sample:
        """Of the commands of `run`."""
        if self._seen is None:
            await self.run(seconds)
        seen, self._seen = self._seen, None
        assert seen is not None
        return seen

    async def _pair(self, due: float) -> tuple[float, float] | None:
        sku = uuid4().hex
        status, headers, body = await self._client.call(
            "POST",
            "/v1/products",
            json.dumps({"sku": sku, "name": "Caneta", "price": "1.50"}),
            f"Idempotency-Key: {sku}\r\n",
        )
        accepted = time.perf_counter()
        if status != 201:
            self.failures += 1
            say(f"{status} {body[:200]!r}")
            return None
        product = json.loads(body)["resource"]["id"]
        status, _, body = await self._client.call(
            "GET",
            f"/v1/products/{product}",
            headers=f"Consistency-Token: {headers['consistency-token']}\r\nPrefer: wait=10\r\n",
        )
        visible = time.perf_counter()
        if status != 200 or sku.encode() not in body:
            self.stale += 1
            say(f"{status} {body[:200]!r}")
        return accepted - due, visible - accepted
