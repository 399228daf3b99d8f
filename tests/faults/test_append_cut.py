"""The append, cut at one exact point after the other: each submission gets its verdict, and one effect."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from tests.faults.proxy import CUTS, Fault, Proxy
from tests.store.submissions import again, appended, claimed, context, decided, party, submission
from write_model.parties.events import PartyRegistered
from write_model.store import committer, connections
from write_model.store.append import (
    Appended,
    AppendRefused,
    Conflicted,
    KeysTaken,
    StoreBusy,
    StoreUnavailable,
    Submission,
)
from write_model.store.chain import verify
from write_model.store.log import Log
from write_model.store.partitions import partition_of
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

pytestmark = [pytest.mark.asyncio, pytest.mark.service, pytest.mark.timeout(60)]

# Serialization, deadlock, cancelled, no lock; shut down, cannot connect now, too many, broken; a standby.
_ROLLED_BACK = ["40001", "40P01", "57014", "55P03", "57P01", "57P03", "53300", "08006", "25006"]
APPEND, LOOKED_UP = "append_events", "command_records"


async def recorded(log: Log, company: UUID) -> list[UUID]:
    """The ids of the commands that have an event, in order."""
    page = await log.page(partition_of(company, log.partitions), 0, 100_000)
    return [event.command_id for event in page if event.company_id == company]


@pytest.fixture
def company() -> UUID:
    """Of this test alone."""
    return uuid4()


def ids_of(submissions: Sequence[Submission]) -> list[UUID]:
    return [one.commands[0].context.command_id for one in submissions]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what takes half a minute takes a second."""
    monkeypatch.setattr(committer, "_CALL_SECONDS_MAX", 0.4)
    monkeypatch.setattr(committer, "_PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(connections, "_READ_PATIENCE_SECONDS", 1.0)


@pytest.mark.parametrize("cut", CUTS)
async def test_a_cut_connection_leaves_each_appended_once(
    store: Store, wire: Proxy, log: Log, database_url: str, cut: Fault, company: UUID
) -> None:
    await appended(store, submission(company))
    wire.next(APPEND, cut)
    many = [submission(company) for _ in range(20)]
    verdicts = await asyncio.gather(*map(store.append, many))
    assert wire.struck[cut] == 1
    assert [verdict.records[0].command_id for verdict in verdicts if isinstance(verdict, Appended)] == ids_of(
        many
    )
    # A request that was delivered late is delivered by now, and found its keys taken.
    await asyncio.sleep(0.5 if cut is Fault.LATE else 0)
    assert sorted((await recorded(log, company))[1:]) == sorted(ids_of(many))
    assert verify(database_url).intact


@pytest.mark.parametrize("silence", [Fault.SILENCE, Fault.SILENCE_AFTER])
@pytest.mark.usefixtures("impatient")
async def test_a_database_that_falls_silent_is_asked_again_elsewhere(
    store: Store, wire: Proxy, log: Log, silence: Fault, company: UUID
) -> None:
    await appended(store, submission(company))
    wire.next(APPEND, silence)
    many = [submission(company) for _ in range(5)]
    # Whoever waits for a reply that never comes must not also wait for the connection to be told so.
    async with asyncio.timeout(3):
        verdicts = await asyncio.gather(*map(store.append, many))
    assert [verdict.records[0].command_id for verdict in verdicts if isinstance(verdict, Appended)] == ids_of(
        many
    )
    assert sorted((await recorded(log, company))[1:]) == sorted(ids_of(many))


async def test_a_hot_stream_whose_reply_was_lost_is_not_in_conflict_with_itself(
    store: Store, wire: Proxy, log: Log, company: UUID
) -> None:
    stream = uuid4()
    for version in range(6):
        wire.next(APPEND, Fault.AFTER)
        assert isinstance(await store.append(submission(company, stream, version)), Appended)
    assert len(await recorded(log, company)) == 6


async def test_a_cut_while_asking_what_was_recorded_changes_nothing(
    store: Store, wire: Proxy, log: Log, company: UUID
) -> None:
    wire.next(APPEND, Fault.AFTER, Fault.BEFORE, Fault.HALF)
    wire.next(LOOKED_UP, Fault.BEFORE, Fault.AFTER, Fault.HALF_ANSWER)
    many = [submission(company) for _ in range(3)]
    verdicts = await asyncio.gather(*map(store.append, many))
    assert all(isinstance(verdict, Appended) for verdict in verdicts)
    assert sorted(await recorded(log, company)) == sorted(ids_of(many))


@pytest.mark.parametrize("first", [Fault.BEFORE, Fault.AFTER])
@pytest.mark.usefixtures("impatient")
async def test_a_database_away_for_too_long_leaves_an_outcome_that_a_retry_resolves(
    store: Store, wire: Proxy, log: Log, first: Fault, company: UUID
) -> None:
    one = submission(company)
    wire.next(APPEND, first)
    appending = asyncio.create_task(store.append(one))
    await wire.has_struck(first)
    await wire.refuse()
    with pytest.raises(StoreUnavailable):
        await appending
    await wire.open()
    verdict = await store.append(again(one))
    if first is Fault.BEFORE:
        assert isinstance(verdict, Appended)
    else:
        assert isinstance(verdict, KeysTaken)
        (record,) = verdict.records.values()
        assert record.command_id == one.commands[0].context.command_id
    assert len(await recorded(log, company)) == 1


@pytest.mark.usefixtures("impatient")
async def test_patience_bounds_the_whole_wait_and_not_each_try(
    store: Store, wire: Proxy, company: UUID
) -> None:
    wire.choose = lambda request: Fault.SILENCE
    started = asyncio.get_running_loop().time()
    with pytest.raises(StoreUnavailable):
        await store.append(submission(company))
    # 1 s of patience here; a try begun late may not have a whole call's time beyond it.
    assert asyncio.get_running_loop().time() - started < 1.3


async def test_who_leaves_while_it_is_being_appended_disturbs_nobody(
    store: Store, wire: Proxy, log: Log, company: UUID
) -> None:
    wire.next(APPEND, Fault.HOLD)
    many = [submission(company) for _ in range(9)]
    tasks = [asyncio.create_task(store.append(one)) for one in many]
    await wire.has_struck(Fault.HOLD)
    # These two wait for the next batch.
    late = [asyncio.create_task(store.append(submission(company))) for _ in range(2)]
    await asyncio.sleep(0)
    for task in (tasks[4], late[0]):
        task.cancel()
    wire.release()
    verdicts = await asyncio.gather(*tasks, *late, return_exceptions=True)
    assert [isinstance(verdict, Appended) for verdict in verdicts].count(False) == 2
    # In flight it was too late to take it back; in the queue it was not.
    assert len(await recorded(log, company)) == 10


async def test_closing_waits_for_what_is_in_flight(
    wire: Proxy, database_url: str, ring: KeyRing, company: UUID
) -> None:
    store = await Store.open(wire.url(database_url), ring, uuid4)
    wire.next(APPEND, Fault.HOLD)
    flying = asyncio.create_task(store.append(submission(company)))
    await wire.has_struck(Fault.HOLD)
    waiting = asyncio.create_task(store.append(submission(company)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    with pytest.raises(StoreUnavailable):
        await store.append(submission(company))
    wire.release()
    await closing
    assert isinstance(flying.result(), Appended)
    assert isinstance(waiting.result(), Appended)


@pytest.mark.parametrize("away", [Fault.SILENCE, Fault.BEFORE])
async def test_closing_without_a_database_leaves_nobody_waiting(
    wire: Proxy, database_url: str, ring: KeyRing, monkeypatch: pytest.MonkeyPatch, away: Fault, company: UUID
) -> None:
    monkeypatch.setattr(committer, "_CLOSING_SECONDS_MAX", 0.5)
    store = await Store.open(wire.url(database_url), ring, uuid4)
    wire.choose = lambda request: away
    # More than one batch: a stream takes part in one batch only.
    stream = uuid4()
    tasks = [
        asyncio.create_task(store.append(submission(company, stream, version))) for version in (0, 1, 2, 3)
    ]
    await wire.has_struck(away)
    async with asyncio.timeout(2):
        await store.close()
        verdicts = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(verdict) for verdict in verdicts} == {StoreUnavailable}


async def test_what_does_not_fit_in_the_queue_was_not_sent(
    store: Store, wire: Proxy, log: Log, monkeypatch: pytest.MonkeyPatch, company: UUID
) -> None:
    monkeypatch.setattr(committer, "_WAITING_MAX", 5)
    wire.next(APPEND, Fault.HOLD)
    flying = asyncio.create_task(store.append(submission(company)))
    await wire.has_struck(Fault.HOLD)
    waiting = [asyncio.create_task(store.append(submission(company))) for _ in range(5)]
    await asyncio.sleep(0)
    refused = [submission(company) for _ in range(10)]
    for one in refused:
        with pytest.raises(StoreBusy):
            await store.append(one)
    wire.release()
    assert all(isinstance(v, Appended) for v in await asyncio.gather(flying, *waiting))
    assert not set(ids_of(refused)) & set(await recorded(log, company))
    await asyncio.gather(*(appended(store, again(one)) for one in refused[:5]))


async def test_who_gave_up_takes_no_place_in_the_queue(
    store: Store, wire: Proxy, monkeypatch: pytest.MonkeyPatch, company: UUID
) -> None:
    monkeypatch.setattr(committer, "_WAITING_MAX", 5)
    wire.next(APPEND, Fault.HOLD)
    flying = asyncio.create_task(store.append(submission(company)))
    await wire.has_struck(Fault.HOLD)
    leaving = [asyncio.create_task(store.append(submission(company))) for _ in range(5)]
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    await asyncio.sleep(0)
    staying = [asyncio.create_task(store.append(submission(company))) for _ in range(5)]
    await asyncio.sleep(0)
    wire.release()
    assert all(isinstance(verdict, Appended) for verdict in await asyncio.gather(flying, *staying))


@pytest.mark.parametrize("state", _ROLLED_BACK)
async def test_what_is_rolled_back_as_a_whole_is_sent_again(
    store: Store, wire: Proxy, log: Log, state: str, company: UUID
) -> None:
    wire.next(APPEND, state, state)
    many = [submission(company) for _ in range(5)]
    verdicts = await asyncio.gather(*map(store.append, many))
    assert all(isinstance(verdict, Appended) for verdict in verdicts)
    assert len(await recorded(log, company)) == 5


@pytest.mark.parametrize("state", ["53100", "53200", "58030"])
async def test_a_database_that_cannot_write_now_is_busy_and_nobody_is_called_malformed(
    store: Store, wire: Proxy, log: Log, state: str, company: UUID
) -> None:
    wire.next(APPEND, state)
    many = [submission(company) for _ in range(5)]
    verdicts = await asyncio.gather(*map(store.append, many), return_exceptions=True)
    assert {type(verdict) for verdict in verdicts} == {StoreBusy}
    assert len(await recorded(log, company)) == 0
    for one in many:
        await appended(store, again(one))


async def test_a_real_serialization_failure_is_retried(
    database_url: str, ring: KeyRing, log: Log, company: UUID
) -> None:
    url = f"{database_url}?options=-c%20default_transaction_isolation%3Drepeatable%5C%20read"
    stores = [await Store.open(url, ring, uuid4) for _ in range(4)]
    verdicts = await asyncio.gather(
        *(store.append(submission(company)) for _ in range(20) for store in stores)
    )
    assert all(isinstance(verdict, Appended) for verdict in verdicts)
    assert len(await recorded(log, company)) == 80
    for store in stores:
        await store.close()


@pytest.mark.parametrize("text", ["a lone surrogate \ud800", "a zero byte \0"])
async def test_what_cannot_even_be_sent_spoils_only_itself(
    store: Store, log: Log, text: str, company: UUID
) -> None:
    about = replace(context(company), reason=text)
    broken = Submission(
        company_id=company,
        commands=(decided(about, {uuid4(): (0, [claimed()])}),),
        expectations={},
    )
    others = [submission(company) for _ in range(10)]
    verdicts = await asyncio.gather(store.append(broken), *map(store.append, others), return_exceptions=True)
    assert isinstance(verdicts[0], AppendRefused)
    assert all(isinstance(verdict, Appended) for verdict in verdicts[1:])
    assert len(await recorded(log, company)) == 10


@pytest.mark.usefixtures("impatient")
async def test_a_malformed_one_and_a_database_that_leaves_do_not_make_each_wait_in_turn(
    store: Store, wire: Proxy, company: UUID
) -> None:
    wire.next(APPEND, "22023")
    tasks = [asyncio.create_task(store.append(submission(company))) for _ in range(8)]
    await wire.has_struck("22023")
    await wire.refuse()
    async with asyncio.timeout(3):
        verdicts = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(verdict) for verdict in verdicts} == {StoreUnavailable}


async def test_a_stale_writer_is_told_so_also_when_the_wire_breaks(
    store: Store, wire: Proxy, company: UUID
) -> None:
    stream = uuid4()
    await appended(store, submission(company, stream))
    wire.next(APPEND, Fault.AFTER)
    assert await store.append(submission(company, stream)) == Conflicted(frozenset({stream}))


async def test_a_copy_of_what_is_in_flight_waits_for_its_answer(
    store: Store, wire: Proxy, company: UUID
) -> None:
    one = submission(company, key="once")
    wire.next(APPEND, Fault.HOLD)
    first = asyncio.create_task(store.append(one))
    await wire.has_struck(Fault.HOLD)
    second = asyncio.create_task(store.append(again(one)))
    await asyncio.sleep(0.05)
    assert not second.done()
    wire.release()
    assert isinstance(await first, Appended)
    taken = await second
    assert isinstance(taken, KeysTaken)
    assert taken.records["once"].command_id == one.commands[0].context.command_id


async def test_a_refusal_whose_note_was_cut_off_is_noted_once(
    store: Store, wire: Proxy, company: UUID
) -> None:
    wire.next("record_refusal", Fault.AFTER)
    await store.record_refusal(context(company), topic="a.b", target=None, code="no", params={})


@pytest.mark.parametrize("cut", CUTS)
async def test_an_erasure_whose_answer_was_cut_off_is_an_erasure(
    store: Store, wire: Proxy, company: UUID, cut: Fault
) -> None:
    subject, stream = uuid4(), uuid4()
    await appended(store, submission(company, stream, 0, party(subject)))
    wire.next("destroy_subject_key", cut)
    await store.destroy_subject_key(company, subject)
    await wire.has_struck(cut)
    ((recorded,),) = (await store.read_streams(company, [stream])).values()
    assert isinstance(recorded.event, PartyRegistered)
    assert recorded.event.name.text is None
