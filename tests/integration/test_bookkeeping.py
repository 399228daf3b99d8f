"""The tables are made once: who starts beside a backup, or beside busy couriers, waits for nobody."""

import asyncio

import psycopg
import pytest

from integration import bookkeeping
from projections.connections import plain_url

pytestmark = pytest.mark.asyncio

_TABLES = "integration.webhook_deliveries, integration.webhook_health, integration.dead_letters"


async def test_a_process_starts_while_a_backup_holds_every_table(delivery_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(plain_url(delivery_url)) as backup:
        await backup.execute(f"LOCK TABLE {_TABLES} IN ACCESS SHARE MODE")
        async with asyncio.timeout(30):
            await bookkeeping.ensure(delivery_url)


async def test_others_are_not_kept_waiting_by_one_that_brings_new_tables(
    delivery_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives up and is started again later, rather than stand before everybody else."""
    async with await psycopg.AsyncConnection.connect(plain_url(delivery_url)) as backup:
        await backup.execute("COMMENT ON SCHEMA integration IS 'another version'")
        await backup.commit()
        await backup.execute(f"LOCK TABLE {_TABLES} IN ACCESS SHARE MODE")
        monkeypatch.setattr(bookkeeping, "_PATIENCE", "100ms")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await bookkeeping.ensure(delivery_url)
        await backup.rollback()
    await bookkeeping.ensure(delivery_url)
