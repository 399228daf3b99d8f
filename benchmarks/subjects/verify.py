"""Verifying the history, beside what cannot be avoided: getting the rows out, and hashing as many bytes.

verify    every event read, hashed anew, compared with what is stored, and all that is checked besides
copy      the same columns through COPY, thrown away
sha-256   a chain of hashes over texts as long as the events', in memory
"""

import argparse
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import psycopg

from benchmarks.business import write_business
from benchmarks.goods import new_id
from benchmarks.harness import Case, Result, Sample, interleaved, sample
from benchmarks.servers import durable_postgres, new_database
from write_model.store.canonical import COLUMNS
from write_model.store.chain import verify
from write_model.store.migrations import upgrade
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

_COPY = f"COPY (SELECT {', '.join(COLUMNS)}, prev_hash, hash FROM ccontrol.events) TO STDOUT (FORMAT binary)"  # noqa: S608 - our own names

_SIZE = "SELECT avg(pg_column_size(e))::int FROM ccontrol.events e"


def arguments(parser: argparse.ArgumentParser) -> None:
    """How long the history is."""
    parser.add_argument("--events", type=int, default=100_000, help="about so many events")


async def measure(options: argparse.Namespace) -> list[Result]:
    """One history of realistic business, verified again and again."""
    with durable_postgres() as server, tempfile.TemporaryDirectory() as folder:
        url = new_database(server, "history")
        upgrade(url)
        store = await Store.open(url, KeyRing.create(Path(folder) / "root.key"), new_id)
        try:
            events = await write_business(store, options.events)
        finally:
            await store.close()
        with psycopg.connect(url) as connection:
            (size,) = connection.execute(
                "SELECT avg(pg_column_size(e))::int FROM ccontrol.events e"
            ).fetchone()  # type: ignore[misc]

        def verified(worker: int) -> int:
            outcome = verify(url)
            assert outcome.intact
            assert outcome.events == events
            return outcome.events

        def copied(worker: int) -> int:
            with psycopg.connect(url) as connection, connection.cursor().copy(_COPY) as copy:
                for _ in copy:
                    pass
            return events

        def hashed(worker: int) -> int:
            digest, text = bytes(32), bytes(size)
            for _ in range(events):
                digest = sha256(b"\x00" + digest + text).digest()
            return events

        cases = [_case("verify", "ccontrol", verified, size), _case("verify", "copy", copied, size)]
        return await interleaved(
            [*cases, _case("verify", "sha-256", hashed, size)], options.rounds, options.seconds
        )


def _case(workload: str, peer: str, operation: Callable[[int], int], size: int) -> Case:
    async def run(seconds: float) -> Sample:
        return await sample(operation, 1, seconds)

    return Case(
        workload=workload,
        peer=peer,
        concurrency=1,
        run=run,
        unit="events/s",
        notes={"bytes_per_event": size},
    )
