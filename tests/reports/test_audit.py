"""The audit trail: every event, in sentences, found by whatever it is known by."""

from datetime import date

from api.audit import revealed
from projections.audit.events import AuditEvents
from read_model.audit.events import AuditSelection, audit_event, audit_events, masked, subjects
from tests.decisions.sales_setting import BANK, CUSTOMER, GOODS
from tests.reports.books import Books, moment
from tests.reports.shop import CANCELLED, FIRST, busy_shop, instalment_of, receivable_of
from write_model.message import EVENTS, Personal
from write_model.parties.events import PartyBlocked, PartyRegistered
from write_model.store import topics
from write_model.values.identifiers import PartyId


def test_no_event_type_is_missing_from_the_trail() -> None:
    indexed = set(AuditEvents().bound())
    topics.load()
    assert indexed == set(EVENTS.values())


def test_the_trail_has_every_event_in_order_in_both_languages(books: Books) -> None:
    company = busy_shop()
    books.fold(company, page=7)
    rows = books.ask(audit_events, AuditSelection(), language="pt-BR", limit=500)
    assert [(row.position, row.topic, row.version) for row in rows] == [
        (books.at(item.position), item.topic, item.version) for item in company.store.log
    ]
    said = {row.topic: row.sentence for row in rows}
    assert said["sales.sale_confirmed"] == "Venda confirmada em 10/11/2026"
    in_english = books.ask(audit_events, AuditSelection(topic="sales.sale_confirmed"), language="en", limit=1)
    assert [row.sentence for row in in_english] == ["Sale confirmed on 2026-10-20"]


def test_events_are_found_by_command_actor_stream_and_moment(books: Books) -> None:
    company = busy_shop()
    books.fold(company)
    log = company.store.log

    def positions(selection: AuditSelection) -> list[int]:
        rows = books.ask(audit_events, selection, language="pt-BR", limit=500)
        return [row.position - books.start for row in rows]

    some = log[-3]
    assert positions(AuditSelection(command_id=some.command_id)) == [
        item.position for item in log if item.command_id == some.command_id
    ]
    assert positions(AuditSelection(stream_id=some.stream_id)) == [
        item.position for item in log if item.stream_id == some.stream_id
    ]
    assert len(positions(AuditSelection(actor_id=company.actor.id))) == len(log)
    assert positions(AuditSelection(actor_id=CUSTOMER)) == []
    assert positions(
        AuditSelection(recorded_from=moment(books.at(4)), recorded_before=moment(books.at(6)))
    ) == [4, 5]
    assert positions(AuditSelection(beyond_position=books.at(len(log) - 2))) == [len(log) - 1, len(log)]


def test_the_history_of_a_thing_is_every_event_that_names_it(books: Books) -> None:
    books.fold(busy_shop())

    def topics_of(subject: object) -> list[str]:
        selection = AuditSelection(subject_id=subject, technical=False)  # type: ignore[arg-type]
        rows = books.ask(audit_events, selection, language="pt-BR", limit=500)
        return [row.topic for row in rows]

    assert sorted(topics_of(CANCELLED)) == [
        "ledger.journal_entry_posted",
        "ledger.journal_entry_posted",
        "sales.sale_cancelled",
        "sales.sale_confirmed",
        "sales.sale_drafted",
        "settlement.receivable_created",
        "stock.stock_issued",
        "stock.stock_returned",
    ]
    assert sorted(topics_of(receivable_of(CANCELLED))) == [
        "sales.sale_confirmed",
        "settlement.receivable_cancelled",
        "settlement.receivable_created",
    ]
    assert topics_of(instalment_of(FIRST, 1)) == [
        "settlement.instalment_settled",
        "settlement.settlement_reversed",
        "settlement.instalment_settled",
    ]
    assert topics_of(GOODS)[:2] == ["catalog.product_registered", "stock.stock_received"]
    assert topics_of(BANK)[:2] == ["treasury.bank_account_opened", "treasury.opening_balance_recorded"]


def test_an_event_says_why_it_happened_and_what_it_names(books: Books) -> None:
    company = busy_shop()
    books.fold(company)
    cancelled = next(item for item in company.store.log if item.topic == "sales.sale_cancelled")
    row = books.ask(audit_event, cancelled.event_id, language="pt-BR")
    assert row is not None
    assert (row.reason, row.channel, row.effective_date) == ("teste", "api", date(2026, 11, 12))
    named = books.ask(subjects, row.position)
    assert {item.field: item.id for item in named} == {"sale_id": CANCELLED, "customer_id": CUSTOMER}


def test_personal_data_is_masked_unless_it_may_be_shown() -> None:
    party = PartyId(CUSTOMER)
    stored = {
        "name": {"subject": str(party), "key": 1, "ct": "aGlkZGVu"},
        "email": {"subject": str(party), "key": 1, "ct": "aGlkZGVu"},
        "city": "Recife",
        "roles": ["customer"],
    }
    hidden = masked(stored)
    assert "aGlkZGVu" not in str(hidden)
    assert hidden["name"] == {"subject": str(party), "masked": True}
    fact = PartyRegistered(
        party_id=party,
        roles=("customer",),
        name=Personal(party, "Pessoa"),
        tax_kind=None,
        tax_number=None,
        email=Personal(party, None),
        phone=None,
        address=None,
        city="Recife",
        state=None,
        external_ref=None,
    )
    shown = revealed(hidden, fact)
    assert shown["name"] == {"subject": str(party), "text": "Pessoa"}
    assert shown["email"] == {"subject": str(party), "text": None}
    assert (shown["city"], shown["roles"]) == ("Recife", ["customer"])
    assert revealed({"party_id": "x"}, PartyBlocked(party_id=party)) == {"party_id": "x"}
