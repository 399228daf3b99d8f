"""Appending: what is recorded, what is answered instead, and that nothing else happens."""

import copy
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.store.submissions import (
    CLERK,
    again,
    appended,
    claimed,
    companies_of_partition,
    context,
    decided,
    entry,
    party,
    submission,
)
from write_model.ledger.events import JournalEntryPosted
from write_model.message import EVENTS, UNREAD, Recorded
from write_model.parties.events import PartyRegistered
from write_model.store import connections
from write_model.store.append import AppendRefused, Conflicted, KeysTaken, Submission
from write_model.store.batch import APPEND, Batch, prepared
from write_model.store.log import Log
from write_model.store.store import Store
from write_model.store.topics import UnknownTopic

pytestmark = pytest.mark.asyncio
COMPANY = UUID("00000000-0000-4000-8000-000000000001")
# Before it stand the partition and the companies, which belong to no row.
_FIRST_COLUMN = 2


async def test_what_was_appended_is_read_back(store: Store) -> None:
    stream, facts = uuid4(), (claimed("cpf"), claimed("cnpj"))
    one = submission(COMPANY, stream, 0, *facts)
    (record,) = await appended(store, one)
    (streams,) = (await store.read_streams(COMPANY, [stream])).values()
    assert [recorded.event for recorded in streams] == list(facts)
    assert [recorded.version for recorded in streams] == [1, 2]
    assert [recorded.position for recorded in streams] == [record.first_position, record.last_position]
    about = one.commands[0].context
    first = streams[0]
    assert (first.command_id, first.correlation_id) == (about.command_id, about.correlation_id)
    assert (first.actor_kind, first.actor_id, first.channel) == ("user", CLERK, "api")
    assert (first.effective_date, first.recorded_at) == (about.effective_date, record.recorded_at)
    assert first.event_id == one.commands[0].events[0].event_id


async def test_a_stream_never_written_is_empty_at_version_zero(store: Store) -> None:
    stream = uuid4()
    assert await store.read_streams(COMPANY, [stream]) == {stream: []}
    assert await store.versions(COMPANY, [stream]) == {stream: 0}


async def test_the_record_of_a_command_is_found_by_key_and_by_id(store: Store) -> None:
    (record,) = await appended(store, submission(COMPANY, key="once"))
    assert await store.command_records(COMPANY, CLERK, ["once", "never"]) == {"once": record}
    assert await store.command_record(COMPANY, record.command_id) == record
    assert await store.command_record(COMPANY, uuid4()) is None
    assert await store.command_records(COMPANY, uuid4(), ["once"]) == {}


async def test_a_key_used_before_answers_with_what_was_recorded_then(store: Store) -> None:
    one = submission(COMPANY, key="once")
    (record,) = await appended(store, one)
    assert await store.append(again(one)) == KeysTaken({"once": record})
    assert await store.head(record.partition) == 1


async def test_a_key_used_before_tells_the_body_it_came_with(store: Store) -> None:
    await appended(store, submission(COMPANY, key="once", body=b"first"))
    verdict = await store.append(submission(COMPANY, key="once", body=b"second"))
    assert isinstance(verdict, KeysTaken)
    assert verdict.records["once"].body_hash == b"first"


async def test_sending_the_very_same_submission_again_is_the_same_success(store: Store) -> None:
    one = submission(COMPANY)
    records = await appended(store, one)
    assert await appended(store, one) == records


async def test_one_key_belongs_to_each_actor_and_company_apart(store: Store) -> None:
    await appended(store, submission(COMPANY, key="once"))
    await appended(store, submission(uuid4(), key="once"))


async def test_a_stale_version_conflicts_and_names_the_stream(store: Store) -> None:
    stream = uuid4()
    await appended(store, submission(COMPANY, stream))
    assert await store.append(submission(COMPANY, stream)) == Conflicted(frozenset({stream}))
    assert await store.versions(COMPANY, [stream]) == {stream: 1}


async def test_a_version_from_the_future_conflicts(store: Store) -> None:
    stream = uuid4()
    assert await store.append(submission(COMPANY, stream, 3)) == Conflicted(frozenset({stream}))


async def test_a_stream_that_was_only_read_must_not_have_moved(store: Store) -> None:
    period, sale = uuid4(), uuid4()
    await appended(store, submission(COMPANY, period))
    assert await store.append(submission(COMPANY, sale, read={period: 0})) == Conflicted(frozenset({period}))
    assert await store.versions(COMPANY, [sale]) == {sale: 0}
    await appended(store, submission(COMPANY, sale, read={period: 1}))


async def test_several_streams_are_written_together_or_not_at_all(store: Store) -> None:
    first, second = uuid4(), uuid4()
    await appended(store, submission(COMPANY, second))
    both = decided(context(COMPANY), {first: (0, [claimed()]), second: (0, [claimed()])})
    verdict = await store.append(Submission(company_id=COMPANY, commands=(both,), expectations={}))
    assert verdict == Conflicted(frozenset({second}))
    assert await store.versions(COMPANY, [first, second]) == {first: 0, second: 1}


async def test_several_commands_may_follow_on_from_each_other(store: Store) -> None:
    stream = uuid4()
    commands = tuple(decided(context(COMPANY), {stream: (n, [claimed()])}) for n in range(3))
    records = await appended(
        store, Submission(company_id=COMPANY, commands=commands, expectations={stream: 0})
    )
    assert [(record.first_position, record.last_position) for record in records] == [(1, 1), (2, 2), (3, 3)]


async def test_a_command_that_changes_nothing_is_recorded_all_the_same(store: Store) -> None:
    nothing = decided(context(COMPANY, key="nothing"), {}, answer='{"status":"draft"}')
    (record,) = await appended(store, Submission(company_id=COMPANY, commands=(nothing,), expectations={}))
    assert (record.first_position, record.last_position) == (None, None)
    found = (await store.command_records(COMPANY, CLERK, ["nothing"]))["nothing"]
    assert (found.first_position, found.answer) == (None, '{"status":"draft"}')


async def test_keys_come_before_conflicts(store: Store) -> None:
    one = submission(COMPANY, key="once")
    await appended(store, one)
    # The retry of a request finds its stream moved, by itself.
    assert isinstance(await store.append(again(one)), KeysTaken)


async def test_versions_out_of_order_are_refused_before_they_are_sent(store: Store) -> None:
    one = submission(COMPANY, None, 0, claimed(), claimed())
    (command,) = one.commands
    turned = replace(one, commands=(replace(command, events=command.events[::-1]),))
    with pytest.raises(AppendRefused):
        await store.append(turned)


async def test_a_command_of_another_company_is_refused(store: Store) -> None:
    with pytest.raises(AppendRefused):
        await store.append(replace(submission(COMPANY), company_id=uuid4()))


async def test_positions_are_dense_in_a_partition_and_times_never_go_back(store: Store, log: Log) -> None:
    companies = companies_of_partition(store, 3, 5)
    for _ in range(4):
        for company_id in companies:
            await appended(store, submission(company_id, None, 0, claimed(), claimed()))
    page = await log.page(3, 0, 100)
    assert [recorded.position for recorded in page] == list(range(1, 41))
    times = [recorded.recorded_at for recorded in page]
    assert times == sorted(times)
    assert await log.head(3) == 40
    assert (await log.heads())[3] == 40


async def test_a_text_of_any_script_comes_back_as_it_was(store: Store) -> None:
    stream, fact = uuid4(), claimed('ação "€" \\ 𝄞\n')
    one = submission(COMPANY, stream, 0, fact)
    (command,) = one.commands
    spoken = replace(command.context, reason="Correção — «à mão»", channel="côté")
    await appended(store, replace(one, commands=(replace(command, context=spoken),)))
    ((recorded,),) = (await store.read_streams(COMPANY, [stream])).values()
    assert (recorded.event, recorded.reason, recorded.channel) == (fact, spoken.reason, spoken.channel)


async def test_a_refusal_is_kept(store: Store, database_url: str) -> None:
    import psycopg

    about = context(COMPANY)
    await store.record_refusal(
        about, topic="sales.confirm_sale", target="sal_1", code="sale-not-open", params={"status": "draft"}
    )
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT command_id, code, target, params FROM audit.refusals").fetchall()
    assert found == [(about.command_id, "sale-not-open", "sal_1", {"status": "draft"})]


def ordering(recorded: Recorded) -> tuple[object, ...]:
    """What is there of every event."""
    return (*recorded[:2], recorded.stream_id, recorded.version, recorded.topic, recorded.recorded_at)


async def test_only_the_events_somebody_asks_for_are_read_whole(store: Store, log: Log) -> None:
    (company_id, *_) = companies_of_partition(store, 3, 1)
    person = uuid4()
    facts = (claimed(), entry(), party(person), claimed())
    for fact in facts:
        await appended(store, submission(company_id, None, 0, fact))
    whole = await log.page(3, 0, 10)
    assert [recorded.event for recorded in whole] == list(facts)
    some = await log.page(3, 0, 10, {JournalEntryPosted})
    assert [ordering(recorded) for recorded in some] == [ordering(recorded) for recorded in whole]
    assert some[1] == whole[1]
    assert [recorded.event for recorded in some] == [UNREAD, whole[1].event, UNREAD, UNREAD]
    assert [recorded.company_id for recorded in some] == [None, company_id, None, None]
    assert (await log.page(3, 0, 10, {PartyRegistered}))[2] == whole[2]
    assert [r.event for r in await log.page(3, 0, 10, set())] == [UNREAD] * 4


async def test_an_event_of_a_newer_program_stops_those_who_would_not_have_read_it(
    store: Store, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    (company_id, *_) = companies_of_partition(store, 3, 1)
    await appended(store, submission(company_id, None, 0, claimed()))
    monkeypatch.delitem(EVENTS, "claims.claimed")
    with pytest.raises(UnknownTopic):
        await log.page(3, 0, 10, {JournalEntryPosted})


async def test_columns_of_different_lengths_are_refused(store: Store, database_url: str) -> None:
    """A shorter one would be read as nulls: a reason lost, an actor on nobody's behalf, and no error."""
    one = submission(COMPANY)
    attempt = Batch(store.partition_of(COMPANY), [prepared(one, ("{}",))])
    whole: list[Any] = attempt.parameters()
    async with await connections.connect(database_url, connections.APP) as connection:
        for index in range(_FIRST_COLUMN, len(whole)):
            for length in (0, 2):
                ragged = copy.deepcopy(whole)
                column = ragged[index]
                del column[length:]
                column.extend(column[:1] * (length - len(column)))
                with pytest.raises(psycopg.errors.InvalidParameterValue):
                    await connection.execute(APPEND, ragged, binary=True)
        assert await store.head(store.partition_of(COMPANY)) == 0
        await connection.execute(APPEND, whole, binary=True)
    assert await store.head(store.partition_of(COMPANY)) == 1
