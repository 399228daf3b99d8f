"""A restore begins another epoch, whose number was never given before, and every process hears of it."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.conftest import fresh_database
from tests.store.tampering import tampering
from write_model.store import epoch
from write_model.store.log import POLL_SECONDS, Log
from write_model.store.store import Store

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


async def test_each_epoch_is_greater_than_any_before_and_says_why(store: Store, database_url: str) -> None:
    assert store.epoch == 1
    second = await epoch.raise_epoch(database_url, "the disk was lost", NOW)
    assert second.number > 1
    # Of two in one second, or by a clock that was put back, the later one still counts as later.
    third = await epoch.raise_epoch(database_url, "again", NOW - timedelta(days=1))
    assert third.number == second.number + 1
    found = await epoch.epochs(database_url)
    assert [(each.number, each.reason) for each in found] == [
        (1, "created"),
        (second.number, "the disk was lost"),
        (third.number, "again"),
    ]


async def test_a_backup_restored_twice_gives_no_number_twice(
    database_url: str, postgres_server: str, migrated_template: str
) -> None:
    """It does not know of the epochs since it was made."""
    first = await epoch.raise_epoch(database_url, "restored", NOW)
    with fresh_database(postgres_server, migrated_template) as restored_again:
        second = await epoch.raise_epoch(restored_again, "restored", NOW + timedelta(seconds=1))
    assert second.number > first.number


async def test_epochs_are_history_too(database_url: str) -> None:
    await epoch.raise_epoch(database_url, "restored", NOW)
    with (
        psycopg.connect(database_url) as connection,
        pytest.raises(psycopg.errors.RestrictViolation),
    ):
        connection.execute("DELETE FROM ccontrol.store_epoch WHERE epoch > 1")
    with (
        psycopg.connect(database_url, options="-c role=ccontrol_app") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("INSERT INTO ccontrol.store_epoch (epoch, reason) VALUES (9, 'mine')")


async def test_whoever_watches_hears_of_it_also_when_the_notification_is_lost(database_url: str) -> None:
    heard: asyncio.Queue[int] = asyncio.Queue()
    watching = asyncio.create_task(epoch.watch(database_url, 1, heard.put_nowait))
    try:
        raised = await epoch.raise_epoch(database_url, "restored", NOW)
        assert await asyncio.wait_for(heard.get(), 30) == raised.number
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO ccontrol.store_epoch (epoch, reason) VALUES (2000000000, 'silent')"
            )
        assert await asyncio.wait_for(heard.get(), 30) == 2_000_000_000
        with psycopg.connect(database_url, autocommit=True) as connection:
            # Each connection that listens is lost, as by a restore.
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute("INSERT INTO ccontrol.store_epoch (epoch, reason) VALUES (2000000001, 'cut')")
        assert await asyncio.wait_for(heard.get(), 30) == 2_000_000_001
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert heard.empty()


async def test_a_log_that_is_followed_knows(log: Log, database_url: str) -> None:
    raised = await epoch.raise_epoch(database_url, "restored", NOW)
    async with asyncio.timeout(30):
        while log.epoch != raised.number:
            await log.wait(0, 0, 0.05)


async def test_in_the_middle_of_a_restore_nothing_is_concluded(log: Log, database_url: str) -> None:
    """Dropped and filled anew by pg_restore, while somebody follows."""
    for table in ("store_epoch", "partition_heads"):
        with tampering(database_url) as connection:
            connection.execute(f"DELETE FROM ccontrol.{table}")  # noqa: S608 - ours
        await log.wait(0, 0, 2 * POLL_SECONDS)
        assert log.epoch == 1
    with tampering(database_url) as connection:
        connection.execute("INSERT INTO ccontrol.partition_heads (partition) SELECT generate_series(0, 7)")
        connection.execute("INSERT INTO ccontrol.store_epoch (epoch, reason) VALUES (7, 'restored')")
    async with asyncio.timeout(30):
        while log.epoch != 7:
            await log.wait(0, 0, 0.05)
