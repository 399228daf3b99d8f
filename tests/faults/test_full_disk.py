"""The disk of PostgreSQL is full, under load: clients are told to come back; afterwards nothing is missing.

The small disk is a tmpfs in a mount namespace of its own, entered through /proc: nothing is mounted where
others see it, and it is gone with the process that holds it. Where that is not allowed the test is skipped.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.servers import PostgresServer
from tests.faults.house import opened
from tests.faults.test_crash import scene_of

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

_MEGABYTES = 192
# Little WAL kept, and little shared memory: most of the small disk is for data.
_SMALL = {"max_wal_size": "64MB", "min_wal_size": "32MB", "wal_keep_size": "0"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of a few megabytes."""
    unshare = shutil.which("unshare")
    if unshare is None:
        # Filling the machine's own disk instead would harm whatever else runs there.
        pytest.skip("no unshare(1), so no small disk")
    place = tmp_path / "small"
    place.mkdir(mode=0o711)
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = f'mount -t tmpfs -o size={_MEGABYTES}m,mode=0711 tmpfs "$1" && echo ready && exec sleep 100000'
    holder = subprocess.Popen(
        [unshare, *as_root, "--mount", "sh", "-c", script, "sh", str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        try:
            if holder.stdout.readline() != "ready\n":
                # Many containers forbid it, and then there is no safe disk to fill.
                pytest.skip("no mount namespace may be made here, so no small disk")
            yield Path(f"/proc/{holder.pid}/root{place}")
        finally:
            holder.kill()


@pytest.mark.asyncio
async def test_a_full_disk_stops_nobody_for_longer_than_it_is_full(tmp_path: Path, small_disk: Path) -> None:
    postgres = PostgresServer(small_disk / "postgres", settings=_SMALL, log=tmp_path / "postgres.log")
    ballast = small_disk / "ballast"
    async with opened(tmp_path, apis=1, postgres=postgres) as house, scene_of(house) as scene:
        for _ in range(2):
            async with scene.at_work():
                await asyncio.sleep(0.5)
                _fill(ballast)
                before = scene.journal.seen.copy()
                await asyncio.sleep(3)
                refused = scene.journal.seen - before
                ballast.unlink()
                await house.heal()
                await asyncio.sleep(0.5)
            assert refused["503"] + refused["504"] + refused["reset"] > 0, dict(refused)
            await scene.verify()


def _fill(ballast: Path) -> None:
    """To the last byte."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
