"""The library `emmett` (TypeScript) as projector, in a process of node.

Its packages are installed once, exactly as `emmett/package-lock.json` says, into a folder of the user's
cache.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import psycopg

from benchmarks.balances import PRODUCTS, fact_of
from benchmarks.harness import Sample

_HERE = Path(__file__).parent / "emmett"
_INSTALL_SECONDS_MAX = 300
_RUN_SECONDS_MAX = 600


class Missing(Exception):
    """There is no node, or its packages cannot be installed; the text says which."""


class EmmettRunner:
    """Its consumer with a raw SQL projection: a page a transaction, in it two statements an event."""

    name = "emmett"
    does = (
        "its consumer and projector, 1,000 events a transaction: an upsert and its checkpoint for each event"
    )

    def __init__(self, url: str, events: int) -> None:
        self._url = url
        self.events = events
        self.version = str(_packages()["@event-driven-io/emmett-postgresql"])
        self._folder = Path()

    async def open(self) -> None:
        """Install it where it is not yet, and write its log. Raises Missing."""
        self._folder = await asyncio.to_thread(_installed)
        facts = [(str(fact.product_id), fact.value.minor) for fact in map(fact_of, range(PRODUCTS))]
        await self._node("fill", json.dumps(facts))

    async def catch_up(self) -> Sample:
        """As long as its consumer says it took: starting node is not counted."""
        seconds = float(await self._node("run", "")) / 1000
        return Sample(self.events, seconds, [seconds])

    async def balances(self) -> Mapping[UUID, int]:
        """What stands in its table."""
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            found = await connection.execute("SELECT product_id, value_minor FROM balances")
            return Counter(dict(await found.fetchall()))

    async def _node(self, what: str, told: str) -> str:
        return await asyncio.to_thread(
            _run, ["node", "catch_up.mjs", what, self._url, str(self.events)], self._folder, told
        )


def _packages() -> Mapping[str, object]:
    found: Mapping[str, object] = json.loads((_HERE / "package.json").read_text())["dependencies"]
    return found


def _installed() -> Path:
    """The folder with the packages of this very lock and our script."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Missing("there is no node, or no npm, on this machine")
    sources = sorted(_HERE.iterdir())
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "ccontrol-benchmarks" / f"emmett-{digest}"
    done = folder / ".installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            shutil.copy(source, folder)
        try:
            _run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder, "", _INSTALL_SECONDS_MAX
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise Missing(f"its packages cannot be installed: {error}") from error
        done.touch()
    return folder


def _run(command: list[str], folder: Path, told: str, seconds_max: float = _RUN_SECONDS_MAX) -> str:
    """What it says. Its own complaints go to our standard error."""
    return subprocess.run(
        command, cwd=folder, input=told, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds_max
    ).stdout
