"""Twelve writers that pause at random, their database sessions too: nobody skips an event or sees one twice.

Each writer is a store of its own, as another process would have it. While they write, random sessions of
the database are stopped in the middle of whatever they do, perhaps holding the lock, and let go again.
"""

import asyncio
import os
import random
import signal
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import BigInteger, Column, Integer, Text

from projections import bookkeeping, worker
from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.database import read_table
from tests.dispatch.conftest import Ids
from tests.dispatch.test_dispatch import Shop, product
from write_model.catalog.events import ProductRegistered
from write_model.message import Recorded
from write_model.store.log import Log
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

WRITERS = 12
COMMANDS_EACH = 25

SEEN = read_table(
    "witness_seen",
    Column("position", BigInteger, primary_key=True),
    Column("times", Integer, nullable=False),
    Column("sku", Text, nullable=False),
)


class Witness(SqlProjection):
    """Counts how often it was shown each event."""

    name = "witness"
    version = 1
    tables = (SEEN,)

    @on(ProductRegistered)
    def registered(self, batch: Batch, recorded: Recorded, fact: ProductRegistered) -> None:
        batch.add(SEEN, key={"position": recorded.position}, add={"times": 1}, set={"sku": fact.sku})


@pytest.mark.asyncio
async def test_nothing_is_skipped_or_repeated(database_url: str, redis_url: str, tmp_path: Path) -> None:
    await bookkeeping.ensure(database_url)
    keyring = KeyRing.create(tmp_path / "root.key")

    @asynccontextmanager
    async def open_log():  # type: ignore[no-untyped-def]
        log = await Log.open(database_url, keyring)
        try:
            yield log
        finally:
            await log.close()

    projector = asyncio.create_task(worker.run(database_url, redis_url, open_log, projections=(Witness,)))
    trouble = asyncio.create_task(_stop_sessions_at_random(database_url))
    try:
        company = uuid4()
        await _open(database_url, keyring, company)
        # Two companies of one partition would do as well; one company is the harder case.
        skus = await asyncio.gather(*(_write(database_url, keyring, company, n) for n in range(WRITERS)))
        trouble.cancel()
        with suppress(asyncio.CancelledError):
            await trouble
        expected = sorted(sku for some in skus for sku in some)
        assert len(expected) == WRITERS * COMMANDS_EACH
        seen = await _seen(database_url, len(expected))
        assert sorted(sku for _, sku in seen) == expected
        assert {times for times, _ in seen} == {1}
    finally:
        trouble.cancel()
        projector.cancel()
        with suppress(asyncio.CancelledError):
            await projector


async def _open(url: str, keyring: KeyRing, company: UUID) -> None:
    store = await Store.open(url, keyring, Ids().new)
    shop = Shop(store)
    shop.company_id = company  # type: ignore[assignment]
    await shop.open()
    await store.close()


async def _write(url: str, keyring: KeyRing, company: UUID, number: int) -> list[str]:
    dice = random.Random(number)
    store = await Store.open(url, keyring, Ids().new)
    shop = Shop(store)
    shop.company_id = company  # type: ignore[assignment]
    skus = []
    try:
        for count in range(COMMANDS_EACH):
            await asyncio.sleep(dice.random() * 0.03)
            sku = f"{number}-{count}"
            await shop.run(product(sku))
            skus.append(sku)
    finally:
        await store.close()
    return skus


async def _stop_sessions_at_random(url: str) -> None:
    dice = random.Random(7)
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection:
        while True:
            found = await connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND application_name = 'ccontrol_app'"
            )
            pids = [row[0] for row in await found.fetchall()]
            chosen = dice.sample(pids, min(2, len(pids)))
            for pid in chosen:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(dice.random() * 0.05)
            finally:
                for pid in chosen:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(dice.random() * 0.05)


async def _seen(url: str, count: int) -> list[tuple[int, str]]:
    """What the witness saw, once it has seen so much; or whatever it has seen after half a minute."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection:
        rows: list[tuple[int, str]] = []
        for _ in range(300):
            found = await connection.execute("SELECT times, sku FROM read.witness_seen")
            rows = [(row[0], row[1]) for row in await found.fetchall()]
            if len(rows) >= count:
                break
            await asyncio.sleep(0.1)
        return rows
