"""The hash chain: what is hashed, what tampering is called when it is found, and who signs."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.store.submissions import appended, claimed, companies_of_partition, entry, submission
from tests.store.tampering import kinds, rehash, tampering
from write_model.ledger.events import PeriodClosed
from write_model.store import chain_blocks
from write_model.store.canonical import COLUMNS, GENESIS, canonical, canonical_row, chain, chain_hash
from write_model.store.chain import Kept, Progress, verify
from write_model.store.chain_course import EventIds
from write_model.store.sealer import EVENTS_MAX, INTERVAL, Sealer
from write_model.store.sealing import key_id_of, public_bytes
from write_model.store.store import Store

GOLDEN: list[bytes | None] = [
    b"3",
    b"41",
    b"00000000-0000-4000-8000-000000000001",
    b"00000000-0000-4000-8000-000000000002",
    b"7",
    b"sales.sale_confirmed",
    b"2",
    b"00000000-0000-4000-8000-000000000003",
    b"2026-11-23",
    b"2026-11-23T10:00:00.000001Z",
    b"user",
    b"00000000-0000-4000-8000-000000000004",
    None,
    b"00000000-0000-4000-8000-000000000005",
    b"00000000-0000-4000-8000-000000000006",
    b"00000000-0000-4000-8000-000000000007",
    b"api",
    "Correção, 1:2,-,".encode(),
    b'{"a":1}',
]
GOLDEN_BYTES = (
    b"1:3,2:41,36:00000000-0000-4000-8000-000000000001,36:00000000-0000-4000-8000-000000000002,1:7,"
    b"20:sales.sale_confirmed,1:2,36:00000000-0000-4000-8000-000000000003,10:2026-11-23,"
    b"27:2026-11-23T10:00:00.000001Z,4:user,36:00000000-0000-4000-8000-000000000004,-,"
    b"36:00000000-0000-4000-8000-000000000005,36:00000000-0000-4000-8000-000000000006,"
    b'36:00000000-0000-4000-8000-000000000007,3:api,18:Corre\xc3\xa7\xc3\xa3o, 1:2,-,,7:{"a":1},'
)
GOLDEN_FIRST = "030ff1022f221987814533ab7c92346f0092b4f43546311950e4284ea32c507b"
GOLDEN_SECOND = "364fa263c184d86b4354d87767c7a38fce0936dcfc9f964f2473924b7191ccd9"


def test_the_bytes_that_are_hashed() -> None:
    assert len(GOLDEN) == len(COLUMNS)
    assert canonical(GOLDEN) == GOLDEN_BYTES
    assert canonical_row(GOLDEN) == GOLDEN_BYTES


def test_the_hashes_of_those_bytes() -> None:
    first = chain_hash(GENESIS, GOLDEN_BYTES)
    assert first.hex() == GOLDEN_FIRST
    assert chain_hash(first, GOLDEN_BYTES).hex() == GOLDEN_SECOND
    assert chain([GOLDEN, GOLDEN]).hex() == GOLDEN_SECOND


def test_nothing_in_the_data_imitates_a_border() -> None:
    assert canonical([b"a", b"b"]) != canonical([b"a,1:b"])
    assert canonical([None]) != canonical([b""]) != canonical([b"-"])


# --- over a real store ----------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def companies(store: Store) -> list[UUID]:
    """Three companies in one partition, eight events each, taking turns; one of them posts entries."""
    companies = companies_of_partition(store, 2, 3)
    streams = {company_id: uuid4() for company_id in companies}
    for turn in range(4):
        for company_id in companies:
            one = submission(company_id, streams[company_id], turn * 2, claimed('tab\t "q" \\ ç'), entry())
            (command,) = one.commands
            about = replace(command.context, reason="-" if turn else None, causation_id=uuid4())
            await appended(store, replace(one, commands=(replace(command, context=about),)))
    return companies


def test_an_untouched_history_is_intact(database_url: str, companies: list[UUID]) -> None:
    seen: list[Progress] = []
    verification = verify(database_url, on_progress=seen.append)
    assert verification.intact
    assert verification.events == 24
    assert {length for length, _ in verification.heads.values()} == {8}
    assert (seen[-1].done, seen[-1].total) == (24, 24)


def test_one_company_can_be_verified_alone(database_url: str, companies: list[UUID]) -> None:
    verification = verify(database_url, company=companies[0])
    assert verification.intact
    assert verification.events == 8
    assert set(verification.heads) == {companies[0]}


def test_an_empty_store_is_intact(database_url: str) -> None:
    assert verify(database_url).intact


# Every column that is hashed, and something else it could say.
EDITS = {
    "stream_id": "gen_random_uuid()",
    "event_id": "gen_random_uuid()",
    "effective_date": "effective_date + 1",
    "recorded_at": "recorded_at + interval '1 microsecond'",
    "actor_kind": "'system'",
    "actor_id": "gen_random_uuid()",
    "on_behalf_of": "gen_random_uuid()",
    "command_id": "gen_random_uuid()",
    "correlation_id": "gen_random_uuid()",
    "causation_id": "NULL",
    "channel": "'cli'",
    "reason": "NULL",
    "data": "data || ' '",
}


@pytest.mark.parametrize("column", EDITS)
def test_an_edited_column_is_found(database_url: str, companies: list[UUID], column: str) -> None:
    with tampering(database_url) as connection:
        connection.execute(
            f"UPDATE ccontrol.events SET {column} = {EDITS[column]} WHERE partition = 2 AND position = 11"  # noqa: S608
        )
    found = [v for v in verify(database_url).violations if v.kind == "event-altered"]
    assert [(v.partition, v.position, v.company_id) for v in found] == [(2, 11, companies[2])]
    assert found[0].expected != found[0].found


def test_a_deleted_event_is_found(database_url: str, companies: list[UUID]) -> None:
    with tampering(database_url) as connection:
        connection.execute("DELETE FROM ccontrol.events WHERE partition = 2 AND position = 11")
    violations = verify(database_url).violations
    assert kinds(violations) == ["chain-head-wrong", "link-broken", "position-gap", "version-gap"]
    assert {v.position for v in violations} == {12, None}


def test_an_inserted_event_is_found(database_url: str, companies: list[UUID]) -> None:
    with tampering(database_url) as connection:
        connection.execute(
            "INSERT INTO ccontrol.events SELECT partition, 25, company_id, stream_id, 9, topic, "
            "schema_version, gen_random_uuid(), effective_date, recorded_at, actor_kind, actor_id, "
            "on_behalf_of, command_id, correlation_id, causation_id, channel, reason, data, hash, hash "
            "FROM ccontrol.events WHERE partition = 2 AND position = 24"
        )
    assert kinds(verify(database_url).violations) == [
        "chain-head-wrong",
        "event-altered",
        "partition-head-wrong",
    ]


def test_a_copied_event_is_found(database_url: str, companies: list[UUID]) -> None:
    with tampering(database_url) as connection:
        connection.execute(
            "INSERT INTO ccontrol.events SELECT partition, 25, company_id, stream_id, 9, topic, "
            "schema_version, event_id, effective_date, recorded_at, actor_kind, actor_id, on_behalf_of, "
            "command_id, correlation_id, causation_id, channel, reason, data, prev_hash, hash "
            "FROM ccontrol.events WHERE partition = 2 AND position = 24"
        )
    assert "event-repeated" in kinds(verify(database_url).violations)


def test_two_swapped_events_are_found(database_url: str, companies: list[UUID]) -> None:
    with tampering(database_url) as connection:
        for before, after in ((11, 1011), (12, 11), (1011, 12)):
            connection.execute(
                "UPDATE ccontrol.events SET position = %s WHERE partition = 2 AND position = %s",
                (after, before),
            )
    found = kinds(verify(database_url).violations)
    assert found.count("event-altered") == 2
    assert found.count("link-broken") >= 2


def test_a_tail_that_was_cut_is_found(database_url: str, companies: list[UUID]) -> None:
    with tampering(database_url) as connection:
        connection.execute("DELETE FROM ccontrol.events WHERE partition = 2 AND position > 20")
    assert set(kinds(verify(database_url).violations)) == {"chain-head-wrong", "partition-head-wrong"}


@pytest.mark.asyncio
async def test_a_tail_cut_with_its_heads_is_found_by_a_checkpoint(
    database_url: str, companies: list[UUID]
) -> None:
    sealer = Sealer(database_url, Ed25519PrivateKey.generate(), lambda: datetime.now(UTC))
    await sealer.seal_due()
    assert verify(database_url).intact
    with tampering(database_url) as connection:
        connection.execute("DELETE FROM ccontrol.events WHERE partition = 2 AND position > 22")
        connection.execute("UPDATE ccontrol.partition_heads SET position = 22 WHERE partition = 2")
        connection.execute(
            "UPDATE ccontrol.chain_heads h SET length = 6, hash = e.hash FROM ccontrol.events e "
            "WHERE e.partition = 2 AND e.position = 18 AND h.company_id = e.company_id"
        )
    violations = verify(database_url).violations
    assert kinds(violations) == ["checkpoint-ahead"]
    assert violations[0].company_id == companies[2]


@pytest.mark.asyncio
async def test_a_rewritten_chain_is_found_by_a_checkpoint(database_url: str, companies: list[UUID]) -> None:
    """A superuser who recomputes every hash leaves nothing odd inside, except what was signed before."""
    key = Ed25519PrivateKey.generate()
    await Sealer(database_url, key, lambda: datetime.now(UTC)).seal_due()
    with tampering(database_url) as connection:
        rewrite(connection, companies[0])
    assert kinds(verify(database_url).violations) == ["checkpoint-wrong"]
    # Signed anew by somebody else it passes only for those who do not ask whose the key is.
    other = Ed25519PrivateKey.generate()
    with tampering(database_url) as connection:
        connection.execute("DELETE FROM ccontrol.checkpoints")
    await Sealer(database_url, other, lambda: datetime.now(UTC)).seal_due()
    assert verify(database_url).intact
    trusted = {key_id_of(public_bytes(key)): public_bytes(key)}
    found = kinds(verify(database_url, public_keys=trusted).violations)
    assert set(found) == {"signature-wrong"}


def rewrite(connection: "psycopg.Connection[Any]", company_id: UUID) -> None:
    """Change the first event of a company and make its whole chain fit again."""
    connection.execute(
        "UPDATE ccontrol.events SET channel = 'forged' WHERE company_id = %s AND version = 1", (company_id,)
    )
    rehash(connection, company_id)


@pytest.mark.asyncio
async def test_an_unbalanced_entry_is_found(store: Store, database_url: str) -> None:
    await appended(store, submission(uuid4(), None, 0, entry(debit=1050, credit=1049)))
    assert kinds(verify(database_url).violations) == ["entry-unbalanced"]


@pytest.mark.asyncio
async def test_an_event_from_the_future_is_found(store: Store, database_url: str) -> None:
    await appended(store, submission(uuid4()))
    with tampering(database_url) as connection:
        connection.execute("UPDATE ccontrol.events SET schema_version = 99")
    assert kinds(verify(database_url).violations) == ["event-altered", "topic-unknown"]


# --- in blocks ------------------------------------------------------------------------------------------


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that 24 events are eight of them."""
    monkeypatch.setattr(chain_blocks, "ROWS", 3)


@pytest.mark.usefixtures("small_blocks")
def test_many_blocks_are_one_history(database_url: str, companies: list[UUID]) -> None:
    verification = verify(database_url)
    assert verification.intact
    assert (verification.events, {length for length, _ in verification.heads.values()}) == (24, {8})
    assert verify(database_url, company=companies[1]).intact


@pytest.mark.usefixtures("small_blocks")
def test_each_block_is_accused_of_its_own_only(database_url: str, companies: list[UUID]) -> None:
    with tampering(database_url) as connection:
        connection.execute("UPDATE ccontrol.events SET data = data || ' ' WHERE position IN (4, 5, 23)")
        connection.execute("UPDATE ccontrol.events SET version = 77 WHERE position = 12")
    found = verify(database_url).violations
    altered = [v.position for v in found if v.kind == "event-altered"]
    assert altered == [4, 5, 12, 23]
    assert [v.position for v in found if v.kind == "version-gap"] == [12, 17]
    assert set(kinds(found)) == {"event-altered", "version-gap"}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("separator", ["\x1e", "\n", "\t", "\\", "\x01"])
@pytest.mark.asyncio
async def test_any_text_may_stand_in_a_reason(store: Store, database_url: str, separator: str) -> None:
    """Also one that separates texts on their way to the verifier: read with care, but not accused."""
    company_id, stream = uuid4(), uuid4()
    for version in range(5):
        one = submission(company_id, stream, version)
        (command,) = one.commands
        about = replace(command.context, reason=f"{separator}a{separator}, 1:x,{separator}")
        await appended(store, replace(one, commands=(replace(command, context=about),)))
    assert verify(database_url).intact


@pytest.mark.usefixtures("small_blocks")
def test_blocks_that_cannot_be_made_are_read_row_by_row(
    database_url: str, companies: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [
        name if "prev_hash" not in name else f"{name} || (1 / (12 - max(position)))::text::bytea"
        for name in chain_blocks._COLUMNS
    ]
    monkeypatch.setattr(chain_blocks, "_COLUMNS", failing)
    with tampering(database_url) as connection:
        connection.execute("UPDATE ccontrol.events SET channel = 'x' WHERE position = 20")
    verification = verify(database_url)
    assert (verification.events, kinds(verification.violations)) == (24, ["event-altered"])


@pytest.mark.asyncio
async def test_an_event_repeated_in_another_partition_is_found(store: Store, database_url: str) -> None:
    for partition in (1, 4):
        (company_id,) = companies_of_partition(store, partition, 1)
        await appended(store, submission(company_id))
    with tampering(database_url) as connection:
        connection.execute("UPDATE ccontrol.events SET event_id = '00000000-0000-4000-8000-000000000001'")
    found = [v for v in verify(database_url).violations if v.kind == "event-repeated"]
    assert [(v.partition, v.position, v.found) for v in found] == [
        (4, 1, "00000000-0000-4000-8000-000000000001")
    ]


def test_ids_that_only_agree_in_their_random_half_are_not_accused(
    database_url: str, companies: list[UUID]
) -> None:
    ids = EventIds()
    ids.add(UUID(int=1 << 64 | 7).bytes + UUID(int=2 << 64 | 7).bytes)
    with psycopg.connect(database_url) as connection:
        assert ids.repeated(connection) == []


def test_ids_of_a_long_history_are_compared_in_rounds(
    database_url: str, companies: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("write_model.store.chain_course._AT_ONCE", 5)
    assert verify(database_url).intact
    with tampering(database_url) as connection:
        connection.execute(
            "UPDATE ccontrol.events SET event_id = (SELECT event_id FROM ccontrol.events WHERE position = 3) "
            "WHERE position = 20"
        )
    found = [v for v in verify(database_url).violations if v.kind == "event-repeated"]
    assert [v.position for v in found] == [20]


@pytest.mark.usefixtures("small_blocks")
def test_heads_kept_outside_are_compared(database_url: str, companies: list[UUID]) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT hash FROM ccontrol.events WHERE company_id = %s ORDER BY position", (companies[0],)
        ).fetchall()
    kept = [Kept(companies[0], length, bytes(digest)) for length, (digest,) in enumerate(found, 1)]
    assert verify(database_url, kept=kept).intact
    wrong = [Kept(companies[0], 5, bytes(32)), Kept(companies[1], 9, bytes(32)), Kept(uuid4(), 1, bytes(32))]
    violations = verify(database_url, kept=[*kept, *wrong]).violations
    assert kinds(violations) == ["head-differs"] * 3
    assert {v.expected.split()[0] for v in violations} == {"5", "9", "1"}


@pytest.mark.asyncio
async def test_a_partition_that_lost_its_head_is_still_read(store: Store, database_url: str) -> None:
    (company_id,) = companies_of_partition(store, 7, 1)
    await appended(store, submission(company_id))
    with tampering(database_url) as connection:
        connection.execute("DELETE FROM ccontrol.partition_heads WHERE partition = 7")
    verification = verify(database_url)
    assert verification.events == 1
    assert kinds(verification.violations) == ["partition-head-wrong"]


# --- sealing --------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_chain_is_signed_after_enough_events_or_enough_time(store: Store, database_url: str) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    sealer = Sealer(database_url, Ed25519PrivateKey.generate(), lambda: now)
    company_id, stream = uuid4(), uuid4()
    await appended(store, submission(company_id, stream))
    (first,) = await sealer.seal_due()  # it never was signed before
    assert (first.company_id, first.length, first.signed_at) == (company_id, 1, now)
    await appended(store, submission(company_id, stream, 1))
    assert await sealer.seal_due() == []
    now += INTERVAL + timedelta(seconds=1)
    assert [checkpoint.length for checkpoint in await sealer.seal_due()] == [2]
    now += INTERVAL + timedelta(seconds=1)
    assert await sealer.seal_due() == []  # nothing new
    await appended(store, submission(company_id, stream, 2, *(claimed() for _ in range(EVENTS_MAX))))
    now += timedelta(seconds=1)
    assert [checkpoint.length for checkpoint in await sealer.seal_due()] == [EVENTS_MAX + 2]
    assert verify(database_url).intact


@pytest.mark.asyncio
async def test_a_chain_is_signed_at_once_on_request(store: Store, database_url: str) -> None:
    sealer = Sealer(database_url, Ed25519PrivateKey.generate(), lambda: datetime.now(UTC))
    company_id = uuid4()
    await appended(store, submission(company_id))
    checkpoint = await sealer.seal(company_id)
    assert checkpoint is not None
    assert checkpoint.length == 1
    assert await sealer.seal(company_id) is None


@pytest.mark.asyncio
async def test_a_chain_is_signed_when_a_period_closes(store: Store, database_url: str) -> None:
    now = datetime.now(UTC)
    sealer = Sealer(database_url, Ed25519PrivateKey.generate(), lambda: now)
    one, other = uuid4(), uuid4()
    streams = {company_id: uuid4() for company_id in (one, other)}
    for company_id, stream in streams.items():
        await appended(store, submission(company_id, stream))
    await sealer.seal_due()
    seen = await sealer.seal_closed({})
    closed = PeriodClosed(period="2026-10", last_day=date(2026, 10, 31))
    await appended(store, submission(one, streams[one], 1, closed))
    await appended(store, submission(other, streams[other], 1))
    assert await sealer.seal_due() == []  # neither is due by itself
    seen = await sealer.seal_closed(seen)
    assert await sealer.seal_closed(seen) == seen
    with psycopg.connect(database_url) as connection:
        signed = connection.execute("SELECT company_id, max(length) FROM ccontrol.checkpoints GROUP BY 1")
        assert dict(signed.fetchall()) == {one: 2, other: 1}


@pytest.mark.asyncio
async def test_the_sealer_outlives_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("write_model.store.sealer._LOOK_SECONDS", 0.01)
    sealer = Sealer("postgresql://127.0.0.1:1/none", Ed25519PrivateKey.generate(), lambda: datetime.now(UTC))
    running = asyncio.create_task(sealer.run())
    await asyncio.sleep(0.2)
    assert not running.done()
    running.cancel()
