"""The checker of histories can fail: shown a broken one, it says so and where."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import fresh_database
from tests.faults.checker import Remembered, check, main, report, uuid_of
from tests.store.submissions import entry, submission
from write_model.store.append import Appended, CommandRecord
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store
from write_model.values.identifiers import encode

pytestmark = [pytest.mark.service]

COMPANY = UUID("00000000-0000-4000-8000-000000000001")
STREAM = uuid4()
# What only a superuser can do, and what a crash would if the program were wrong.
FREELY = "SET session_replication_role = replica; ALTER TABLE ccontrol.events DISABLE TRIGGER USER; "
FREELY += "ALTER TABLE ccontrol.commands DISABLE TRIGGER USER; "


@pytest.fixture(scope="module")
def history(
    postgres_server: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Remembered]]:
    """A sound one: twelve commands on one stream, one entry, and what their clients were answered."""
    ring = KeyRing.create(tmp_path_factory.mktemp("keys") / "root.key")
    with fresh_database(postgres_server, migrated_template) as url:
        journal = asyncio.run(_write(url, ring))
        remembered = Remembered(journal)
        assert not any(check(url, remembered).values())
        yield url, remembered


async def _write(url: str, ring: KeyRing) -> list[dict[str, Any]]:
    store = await Store.open(url, ring, uuid4)
    journal = []
    for version in range(12):
        one = submission(COMPANY, STREAM, version, *([entry()] if version == 4 else []))
        verdict = await store.append(one)
        assert isinstance(verdict, Appended)
        journal.append(_remembered(verdict.records[0], one.commands[0].events[0].event_id))
    await store.close()
    return journal


def _remembered(record: CommandRecord, event_id: UUID) -> dict[str, Any]:
    answer = {
        "command_id": encode("cmd", record.command_id),
        "events": [{"id": encode("evt", event_id), "position": record.first_position}],
    }
    return {
        "company": encode("cmp", COMPANY),
        "key": record.idempotency_key,
        "outcome": "accepted",
        "status": 200,
        "answer": answer,
    }


def broken(history: tuple[str, Remembered], damage: str) -> dict[str, list[str]]:
    """What the checker finds after this damage, which is taken back again."""
    url, remembered = history
    with fresh_database(url, url.rsplit("/", 1)[1]) as copy:
        with psycopg.connect(copy) as damaged:
            damaged.execute((FREELY + damage).encode())
        return check(copy, Remembered(remembered.journal, list(remembered.heads)))


LOST = "DELETE FROM ccontrol.events WHERE position = 12"
GONE = (
    "DELETE FROM ccontrol.events WHERE position = 12;"
    " DELETE FROM ccontrol.commands WHERE first_position = 12;"
    " UPDATE ccontrol.partition_heads SET position = 11 WHERE position = 12;"
    " UPDATE ccontrol.chain_heads SET length = 11,"
    " hash = (SELECT hash FROM ccontrol.events WHERE position = 11)"
)
COLUMNS = (
    "company_id, {stream}, {version}, topic, schema_version, {event}, effective_date, recorded_at,"
    " actor_kind, actor_id, on_behalf_of, {command}, correlation_id, causation_id, channel, reason, data, "
    " prev_hash, hash"
)


_COPIED = "INSERT INTO ccontrol.events SELECT partition, 13, "


def copied(**changed: str) -> str:
    """The last event once more, behind itself."""
    columns = {
        "stream": "stream_id",
        "version": "13",
        "event": "event_id",
        "command": "command_id",
        **changed,
    }
    listed = COLUMNS.format(**columns)
    return _COPIED + listed + " FROM ccontrol.events WHERE position = 12"


@pytest.mark.parametrize(
    ("damage", "invariants"),
    [
        pytest.param(LOST, {"I1", "I2", "I3", "I8"}, id="a lost event"),
        pytest.param(GONE, {"I1", "I8"}, id="an acknowledged command that is gone without a trace"),
        pytest.param(copied(), {"I1", "I2", "I3", "I8"}, id="an event that is there twice"),
        pytest.param(
            copied(event="gen_random_uuid()", command="gen_random_uuid()"), {"I2", "I3", "I8"}, id="a ghost"
        ),
        pytest.param(
            "INSERT INTO ccontrol.commands SELECT partition, company_id, actor_kind, actor_id, 'again',"
            " body_hash, gen_random_uuid(), topic, 'unchanged', answer, NULL, NULL, recorded_at"
            " FROM ccontrol.commands WHERE first_position = 12",
            {"I2"},
            id="a command nobody asked for",
        ),
        pytest.param("UPDATE ccontrol.events SET version = 13 WHERE version = 12", {"I3", "I8"}, id="a gap"),
        pytest.param(
            "UPDATE ccontrol.partition_heads SET position = 13 WHERE position = 12",
            {"I3"},
            id="a head too far",
        ),
        pytest.param(
            "UPDATE ccontrol.events SET data = replace(data, '1050', '1051') WHERE version = 4 + 1;"
            "UPDATE ccontrol.events SET data = regexp_replace(data, '1051', '1050') WHERE version = 4 + 1",
            {"I6", "I8"},
            id="an unbalanced entry",
        ),
        pytest.param(
            "UPDATE ccontrol.events SET reason = 'another' WHERE position = 3", {"I8"}, id="an altered row"
        ),
        pytest.param(
            "UPDATE ccontrol.chain_heads SET length = length - 1",
            {"I8"},
            id="a head that says something else",
        ),
    ],
)
def test_what_is_broken_is_found(history: tuple[str, Remembered], damage: str, invariants: set[str]) -> None:
    found = broken(history, damage)
    assert {invariant for invariant, rows in found.items() if rows} == invariants, report(found)


def test_a_refused_command_that_is_recorded_is_found(history: tuple[str, Remembered]) -> None:
    url, remembered = history
    journal = [{**remembered.journal[0], "outcome": "refused"}, *remembered.journal[1:]]
    found = check(url, Remembered(journal))
    assert [name for name, rows in found.items() if rows] == ["I2"]


def test_an_unknown_outcome_may_be_either_but_not_half(history: tuple[str, Remembered]) -> None:
    url, remembered = history
    journal = [{**remembered.journal[0], "outcome": "unknown"}, *remembered.journal[1:]]
    journal.append({**journal[0], "key": "never recorded"})
    assert not any(check(url, Remembered(journal)).values())


def test_a_chain_rewritten_from_the_start_does_not_contain_the_heads_seen_before(
    history: tuple[str, Remembered],
) -> None:
    url, remembered = history
    heads = [(str(COMPANY), 5, "00" * 32)]
    found = check(url, Remembered(remembered.journal, heads))
    assert [name for name, rows in found.items() if rows] == ["I8"]


def test_somebody_idle_in_a_transaction_is_found(history: tuple[str, Remembered]) -> None:
    url, remembered = history
    with psycopg.connect(url) as idle:
        idle.execute("SELECT pg_sleep(0)")
        with psycopg.connect(url) as connection:
            connection.execute("SELECT pg_sleep(1.2)")
        assert check(url, Remembered(remembered.journal))["I13"]


def test_the_command_line_says_pass_or_shows_the_rows(
    history: tuple[str, Remembered], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, remembered = history
    journal = tmp_path / "journal"
    journal.write_text("".join(json.dumps(line) + "\n" for line in remembered.journal))
    assert main([url, str(journal)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "I1 PASS"
    lines = [{**remembered.journal[0], "outcome": "refused"}]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main([url, str(journal)]) == 1


def test_ids_are_read_as_clients_see_them() -> None:
    one = uuid4()
    assert uuid_of(encode("cmp", one)) == str(one)
