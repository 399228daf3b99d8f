"""Personal data: noise in the table, readable with the key, gone without it; the chain holds either way."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.store.submissions import appended, claimed, context, decided, party, submission
from write_model.message import Personal
from write_model.parties.events import PartyRegistered
from write_model.store.append import Submission
from write_model.store.chain import verify
from write_model.store.log import Log
from write_model.store.personal_data import KeyRing, KeysUnusable, PersonalDataDamaged
from write_model.store.store import Store
from write_model.store.topics import NotStorable

COMPANY = UUID("00000000-0000-4000-8000-000000000001")


async def register(store: Store, subject: UUID, name: str = "Pessoa de Teste") -> UUID:
    stream = uuid4()
    await appended(store, submission(COMPANY, stream, 0, party(subject, name)))
    return stream


async def read(store: Store, stream: UUID) -> PartyRegistered:
    ((recorded,),) = (await store.read_streams(COMPANY, [stream])).values()
    assert isinstance(recorded.event, PartyRegistered)
    return recorded.event


@pytest.mark.asyncio
async def test_the_table_holds_no_personal_text(store: Store, database_url: str) -> None:
    subject = uuid4()
    stream = await register(store, subject)
    with psycopg.connect(database_url) as connection:
        ((text,),) = connection.execute("SELECT data FROM ccontrol.events").fetchall()
    assert "Pessoa de Teste" not in text
    assert "52998224725" not in text
    assert json.loads(text)["name"].keys() == {"subject", "key", "ct"}
    assert json.loads(text)["name"]["subject"] == str(subject)
    assert (await read(store, stream)).name == Personal(subject, "Pessoa de Teste")


@pytest.mark.asyncio
async def test_projectors_read_it_too(store: Store, log: Log) -> None:
    subject = uuid4()
    await register(store, subject)
    (recorded,) = await log.page(store.partition_of(COMPANY), 0, 10)
    assert isinstance(recorded.event, PartyRegistered)
    assert recorded.event.tax_number == Personal(subject, "52998224725")
    assert recorded.event.city == "Recife"


@pytest.mark.asyncio
async def test_without_the_key_the_text_is_gone_and_the_chain_still_holds(
    store: Store, log: Log, database_url: str
) -> None:
    subject, other = uuid4(), uuid4()
    erased, kept = await register(store, subject), await register(store, other, "Outra Pessoa")
    await store.destroy_subject_key(COMPANY, subject)
    await store.destroy_subject_key(COMPANY, subject)  # as often as one likes
    assert (await read(store, erased)).name == Personal(subject, None)
    assert (await read(store, kept)).name == Personal(other, "Outra Pessoa")
    (first, _) = await log.page(store.partition_of(COMPANY), 0, 10)
    assert isinstance(first.event, PartyRegistered)
    assert first.event.name == Personal(subject, None)
    assert verify(database_url).intact


@pytest.mark.asyncio
async def test_who_returns_after_an_erasure_has_a_new_key_and_no_past(store: Store) -> None:
    subject = uuid4()
    before = await register(store, subject)
    await store.destroy_subject_key(COMPANY, subject)
    after = await register(store, subject, "Pessoa de novo")
    assert (await read(store, before)).name.text is None
    assert (await read(store, after)).name.text == "Pessoa de novo"


@pytest.mark.asyncio
async def test_an_erased_text_is_not_recorded_anew(store: Store) -> None:
    subject = uuid4()
    erased = replace(party(subject), name=Personal(subject, None))
    with pytest.raises(NotStorable):
        await store.append(submission(COMPANY, None, 0, erased))


@pytest.mark.asyncio
async def test_a_ciphertext_moved_to_another_field_does_not_open(store: Store, database_url: str) -> None:
    stream = await register(store, uuid4())
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE ccontrol.events DISABLE TRIGGER append_only")
        connection.execute(
            "UPDATE ccontrol.events "
            "SET data = jsonb_set(data::jsonb, '{name}', data::jsonb -> 'tax_number')::text"
        )
    with pytest.raises(PersonalDataDamaged):
        await read(store, stream)


@pytest.mark.asyncio
async def test_another_root_key_opens_nothing(store: Store, database_url: str, tmp_path: Path) -> None:
    stream = await register(store, uuid4())
    other = await Store.open(database_url, KeyRing.create(tmp_path / "other.key"), uuid4)
    with pytest.raises(PersonalDataDamaged):
        await read(other, stream)
    await other.close()


@pytest.mark.asyncio
async def test_many_people_in_one_submission(store: Store) -> None:
    people = {uuid4(): uuid4() for _ in range(200)}
    commands = tuple(
        decided(context(COMPANY), {stream: (0, [party(subject, f"Pessoa {subject}")])})
        for subject, stream in people.items()
    )
    await appended(store, Submission(company_id=COMPANY, commands=commands, expectations={}))
    for subject, stream in list(people.items())[:3]:
        assert (await read(store, stream)).name.text == f"Pessoa {subject}"


@pytest.mark.asyncio
async def test_events_without_personal_data_need_no_key(store: Store, database_url: str) -> None:
    await appended(store, submission(COMPANY, None, 0, claimed()))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM ccontrol.subject_keys").fetchone() == (0,)


def test_the_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "root.key"
    first = KeyRing.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyRing.create(path).fingerprint(COMPANY, "x") == first.fingerprint(COMPANY, "x")
    assert [entry.name for entry in path.parent.iterdir()] == ["root.key"]


def test_a_key_file_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    KeyRing.create(path)
    path.chmod(0o640)
    with pytest.raises(KeysUnusable):
        KeyRing.read(path)


@pytest.mark.parametrize("text", ["", "{}", '{"roots": {}}', '{"roots": {"1": "c2hvcnQ="}}', "[]"])
def test_a_damaged_key_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "root.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeysUnusable):
        KeyRing.create(path)


def test_a_new_root_key_leaves_claims_and_old_keys_alone() -> None:
    subject, old, new = uuid4(), bytes(32), bytes(range(32))
    before, after = KeyRing({1: old}), KeyRing({1: old, 2: new})
    assert before.fingerprint(COMPANY, "52998224725") == after.fingerprint(COMPANY, "52998224725")
    wrapped = before.wrap(COMPANY, subject, bytes(32))
    assert after.unwrap(COMPANY, subject, 1, wrapped) == bytes(32)
    assert after.newest == 2
    with pytest.raises(KeysUnusable):
        before.unwrap(COMPANY, subject, 2, after.wrap(COMPANY, subject, bytes(32)))


def test_fingerprints_differ_between_companies_and_do_not_disclose() -> None:
    ring = KeyRing({1: bytes(32)})
    assert ring.fingerprint(COMPANY, "52998224725") != ring.fingerprint(uuid4(), "52998224725")
    assert len(ring.fingerprint(COMPANY, "52998224725")) == 64
    assert repr(ring) == "KeyRing(1 root keys)"
