"""kill -9 under load: what was acknowledged is there, what was not is there once or not at all."""

import asyncio
import random
from uuid import UUID, uuid4

import pytest

from runtime.servers import PostgresServer
from tests.store.submissions import again, submission
from write_model.store.append import Appended, KeysTaken, StoreUnavailable, Submission
from write_model.store.chain import verify
from write_model.store.log import Log
from write_model.store.migrations import upgrade
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

COMPANY = UUID("00000000-0000-4000-8000-000000000001")
KILLS = 4


@pytest.mark.asyncio
async def test_a_database_killed_again_and_again_loses_and_repeats_nothing(
    private_postgres: PostgresServer, ring: KeyRing
) -> None:
    upgrade(private_postgres.url)
    store = await Store.open(private_postgres.url, ring, uuid4)
    acknowledged: list[Submission] = []
    unknown: list[Submission] = []
    stopped = asyncio.Event()

    async def write() -> None:
        while not stopped.is_set():
            one = submission(COMPANY)
            try:
                assert isinstance(await store.append(one), Appended)
                acknowledged.append(one)
            except StoreUnavailable:
                unknown.append(one)

    writers = [asyncio.create_task(write()) for _ in range(16)]
    choice = random.Random(11)
    for _ in range(KILLS):
        await asyncio.sleep(0.2 + choice.random() * 0.3)
        private_postgres.kill()
        await asyncio.to_thread(private_postgres.start)
    await asyncio.sleep(0.3)
    stopped.set()
    await asyncio.gather(*writers)

    log = await Log.open(private_postgres.url, ring)
    partition = store.partition_of(COMPANY)
    recorded = [event.event_id for event in await log.page(partition, 0, 1_000_000)]
    assert len(recorded) == len(set(recorded))
    written = {one.commands[0].events[0].event_id for one in acknowledged}
    assert written <= set(recorded)
    possible = written | {one.commands[0].events[0].event_id for one in unknown}
    assert set(recorded) <= possible
    # A client that repeats its request after the crash changes nothing.
    head = await log.head(partition)
    for one in choice.sample(acknowledged, 20):
        assert isinstance(await store.append(again(one)), KeysTaken)
    assert await log.head(partition) == head
    assert verify(private_postgres.url).intact
    await log.close()
    await store.close()


@pytest.mark.asyncio
async def test_reads_wait_for_a_database_that_restarts(
    private_postgres: PostgresServer, ring: KeyRing
) -> None:
    upgrade(private_postgres.url)
    store = await Store.open(private_postgres.url, ring, uuid4)
    stream = uuid4()
    await store.append(submission(COMPANY, stream))
    await asyncio.gather(*(store.versions(COMPANY, [stream]) for _ in range(8)))
    private_postgres.kill()
    reading = asyncio.create_task(store.versions(COMPANY, [stream]))
    await asyncio.to_thread(private_postgres.start)
    assert await reading == {stream: 1}
    await store.close()


@pytest.mark.asyncio
async def test_a_database_that_stays_away_is_said_to_be_unavailable(
    private_postgres: PostgresServer, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    from write_model.store import committer, connections

    monkeypatch.setattr(committer, "_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(connections, "_READ_PATIENCE_SECONDS", 0.5)
    upgrade(private_postgres.url)
    store = await Store.open(private_postgres.url, ring, uuid4)
    await store.append(submission(COMPANY))
    private_postgres.kill()
    with pytest.raises(StoreUnavailable):
        await store.append(submission(COMPANY))
    with pytest.raises(StoreUnavailable):
        await store.head(0)
    await store.close()
