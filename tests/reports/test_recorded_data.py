"""What exactly was recorded: from the store, with personal data only for those who may see it."""

from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from tests.dispatch.conftest import Ids
from tests.reports.books import Books
from tests.reports.doors import Doors
from tests.reports.shop import OCTOBER
from tests.scenario import an_id
from write_model.companies.company import RegisterCompany
from write_model.dispatch import Dispatcher
from write_model.message import Actor, Command, Context, Recorded
from write_model.processes.register_party import RegisterParty
from write_model.store.log import Log
from write_model.store.partitions import partition_of
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store
from write_model.values.identifiers import CompanyId, PartyId

COMPANY = CompanyId(an_id("company"))
PERSON = PartyId(an_id("Pessoa"))


async def recorded(store: Store, log: Log) -> list[Recorded]:
    """A company and a party in the store, as its log gives them back."""
    dispatcher = Dispatcher(store, Ids())
    commands: tuple[Command, ...] = (
        RegisterCompany(company_id=COMPANY, legal_name="Loja"),
        RegisterParty(party_id=PERSON, name="Pessoa Nova", city="Recife"),
    )
    for command in commands:
        await dispatcher.execute(command, context(uuid4()))
    return await log.page(store.partition_of(COMPANY), 0, 100)


def context(key: UUID) -> Context:
    return Context(
        company_id=COMPANY,
        actor=Actor("user", uuid4()),
        command_id=uuid4(),
        correlation_id=uuid4(),
        idempotency_key=str(key),
        body_hash=key.bytes,
        effective_date=OCTOBER,
        today=OCTOBER,
    )


def test_an_auditor_sees_what_was_recorded_but_no_personal_text(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    ring = KeyRing.create(tmp_path / "root.key")
    with psycopg.connect(database_url) as connection:
        ((partitions,),) = connection.execute("SELECT count(*) FROM ccontrol.partition_heads").fetchall()
    with Books(database_url, redis_url, partition=partition_of(COMPANY, partitions)) as books:
        store = books.run(Store.open(database_url, ring, Ids().new))
        log = books.run(Log.open(database_url, ring))
        try:
            books.fold_events(books.run(recorded(store, log)))
            doors = Doors(books, COMPANY, store)
            (event,) = doors.json("/v1/audit/events?type=parties.party_registered")["data"]
            masked = doors.json(event["url"], role="auditor")
            shown = doors.json(event["url"], role="owner")
        finally:
            books.run(log.close())
            books.run(store.close())
    assert masked["data"]["name"] == {"subject": str(PERSON), "masked": True}
    assert masked["data"]["city"] == shown["data"]["city"] == "Recife"
    assert masked["personal_data"] == "masked"
    assert "Pessoa Nova" not in str(masked)
    assert shown["data"]["name"] == {"subject": str(PERSON), "text": "Pessoa Nova"}
    assert (len(masked["hash"]), len(masked["prev_hash"])) == (64, 64)
