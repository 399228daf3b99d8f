"""The directory of parties."""

from dataclasses import replace

from read_model.parties.directory import parties, party
from tests.decisions.sales_setting import CUSTOMER, open_shop
from tests.reports.books import Books
from tests.scenario import Company, an_id
from write_model.message import Personal
from write_model.parties.events import PartyRegistered
from write_model.parties.party import AssignPartyRole, BlockParty, UpdatePartyDetails
from write_model.processes.register_party import RegisterParty
from write_model.values.identifiers import PartyId
from write_model.values.tax_number import TaxNumber

PERSON = PartyId(an_id("Pessoa"))


def company_with_a_person() -> Company:
    company = open_shop()
    company.given(
        RegisterParty(
            party_id=PERSON,
            name="Alguém Coração",
            tax_number=TaxNumber.parse("529.982.247-25"),
            email="pessoa@example.com",
            city="Recife",
            state="PE",
        )
    )
    return company


def test_a_party_shows_what_is_known_of_it(books: Books) -> None:
    company = company_with_a_person()
    company.given(AssignPartyRole(party_id=PERSON, role="supplier"), BlockParty(party_id=PERSON))
    books.fold(company)
    found = books.ask(party, PERSON)
    assert found is not None
    assert (found.name, found.tax_number, found.email) == (
        "Alguém Coração",
        "52998224725",
        "pessoa@example.com",
    )
    assert (found.roles, found.status, found.version) == (("customer", "supplier"), "blocked", 3)


def test_new_details_replace_the_former_ones(books: Books) -> None:
    company = company_with_a_person()
    company.given(UpdatePartyDetails(party_id=PERSON, name="Pessoa Nova", city="Olinda"))
    books.fold(company)
    found = books.ask(party, PERSON)
    assert found is not None
    assert (found.name, found.city, found.email, found.state) == ("Pessoa Nova", "Olinda", None, None)
    assert books.ask(parties, q="coracao", limit=10) == []


def test_parties_are_found_by_role_name_and_tax_number(books: Books) -> None:
    books.fold(company_with_a_person())
    by_name = [row.id for row, _ in books.ask(parties, q="coracao", role="customer", limit=10)]
    by_number = [row.id for row, _ in books.ask(parties, tax_number="52998224725", limit=10)]
    assert by_name == by_number == [PERSON]
    assert books.ask(parties, role="supplier", limit=10) == []
    assert [row.id for row, _ in books.ask(parties, limit=10)] == [PERSON, CUSTOMER]


def test_an_erased_person_has_no_name(books: Books) -> None:
    company = company_with_a_person()
    log = company.store.log
    for at, item in enumerate(log):
        fact = item.event
        if isinstance(fact, PartyRegistered) and fact.party_id == PERSON:
            nobody = Personal(PERSON, None)
            log[at] = item._replace(event=replace(fact, name=nobody, tax_number=nobody, email=nobody))
    books.fold(company)
    found = books.ask(party, PERSON)
    assert found is not None
    assert (found.name, found.tax_number, found.email, found.city) == (None, None, None, "Recife")
