"""Ageing: on any day, as known at any moment."""

from datetime import date

from read_model.known import NOW, KnownAsOf
from read_model.ledger.trial_balance import trial_balance
from read_model.settlement.ageing import BUCKETS, AgeingRow, ageing
from tests.decisions.sales_setting import CUSTOMER
from tests.reports.books import Books, moment
from tests.reports.shop import FIRST, busy_shop, ends_of_commands
from write_model.settlement.events import SettlementReversed

CLIENTES = "1.1.2.01"


def buckets(rows: list[AgeingRow]) -> dict[str, int]:
    """The amounts of the one row there is, without the empty buckets."""
    if not rows:
        return {}
    (row,) = rows
    amounts = {name: getattr(row, name).minor for name in BUCKETS}
    assert sum(amounts.values()) == row.total.minor
    return {name: amount for name, amount in amounts.items() if amount}


def asked(books: Books, on: date, known: KnownAsOf = NOW) -> dict[str, int]:
    return buckets(list(books.ask(ageing, on=on, known=known)))


def test_what_is_late_moves_from_bucket_to_bucket(books: Books) -> None:
    books.fold(busy_shop(), page=5)
    assert asked(books, date(2026, 10, 19)) == {}
    assert asked(books, date(2026, 10, 20)) == {"not_due": 1000}
    assert asked(books, date(2026, 11, 23)) == {"days_1_30": 1000, "not_due": 3000}
    assert asked(books, date(2026, 12, 20)) == {"days_1_30": 4000}
    assert asked(books, date(2026, 12, 21)) == {"days_31_60": 1000, "days_1_30": 3000}
    assert asked(books, date(2027, 2, 18)) == {"days_61_90": 4000}
    assert asked(books, date(2027, 2, 19)) == {"over_90": 1000, "days_61_90": 3000}


def test_a_reversal_opens_the_instalment_from_its_own_day_on(books: Books) -> None:
    books.fold(busy_shop())
    assert asked(books, date(2026, 11, 9)) == {"not_due": 1000}
    assert asked(books, date(2026, 11, 13)) == {"days_1_30": 1000, "not_due": 4000}


def test_the_past_can_be_asked_for_as_it_was_known_then(books: Books) -> None:
    company = busy_shop()
    books.fold(company)
    facts = [item.event for item in company.store.log]
    reversal = next(at for at, fact in enumerate(facts, start=1) if isinstance(fact, SettlementReversed))
    on = date(2026, 11, 13)
    by_position = asked(books, on, KnownAsOf(position=books.at(reversal - 1)))
    by_moment = asked(books, on, KnownAsOf(moment=moment(books.at(reversal - 1))))
    assert by_position == by_moment == {"not_due": 5000}
    assert asked(books, on, KnownAsOf(position=books.at(reversal))) == {"days_1_30": 1000, "not_due": 5000}


def test_ageing_by_party_names_the_party(books: Books) -> None:
    books.fold(busy_shop())
    (row,) = books.ask(ageing, on=date(2026, 11, 23), by_party=True, party_id=CUSTOMER)
    assert (row.party_id, row.party_name, row.overdue.minor, row.instalments) == (
        CUSTOMER,
        "Cliente Um",
        1000,
        2,
    )
    assert books.ask(ageing, on=date(2026, 11, 23), by_party=True, party_id=FIRST) == []


def test_ageing_always_agrees_with_the_books(books: Books) -> None:
    company = busy_shop()
    books.fold(company)
    for position in ends_of_commands(company):
        known = KnownAsOf(position=books.at(position))
        for on in (date(2026, 10, 20), date(2026, 11, 11), date(2026, 12, 31)):
            balance = books.ask(trial_balance, effective_to=on, known=known)
            control = sum(row.closing.minor for row in balance.rows if row.account_code == CLIENTES)
            assert sum(asked(books, on, known).values()) == control
