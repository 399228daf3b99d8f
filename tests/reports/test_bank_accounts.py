"""Bank accounts: the same balances from SQL, from Redis, from the statement and from the books."""

from datetime import date

from read_model.known import KnownAsOf
from read_model.ledger.trial_balance import trial_balance
from read_model.row import Amount
from read_model.selection import Days
from read_model.treasury.bank_accounts import bank_account, bank_accounts
from read_model.treasury.statement import balance, statement
from tests.decisions.sales_setting import BANK
from tests.reports.books import Books
from tests.reports.shop import busy_shop, ends_of_commands
from tests.scenario import an_id
from write_model.processes.open_bank_account import OpenBankAccount
from write_model.values.identifiers import BankAccountId


def test_accounts_are_shown_by_name_with_what_is_in_them(books: Books) -> None:
    company = busy_shop()
    company.given(
        OpenBankAccount(bank_account_id=BankAccountId(an_id("cash")), name="Caixa", account_kind="cash")
    )
    books.fold(company, page=3)
    rows = books.ask(bank_accounts)
    assert [(row.name, row.kind, row.balance) for row in rows] == [
        ("Banco", "checking", Amount(51000, "BRL")),
        ("Caixa", "cash", Amount(0, "BRL")),
    ]
    assert books.ask(bank_account, BANK) == rows[0]


def test_the_balance_is_that_of_the_ledger_account(books: Books) -> None:
    company = busy_shop()
    books.fold(company)
    for position in ends_of_commands(company):
        known = KnownAsOf(position=books.at(position))
        for on in (date(2026, 10, 31), date(2026, 11, 12), date(2026, 12, 31)):
            rows = books.ask(trial_balance, effective_to=on, known=known).rows
            booked = sum(row.closing.minor for row in rows if row.account_code == "1.1.1.02")
            assert books.ask(balance, BANK, effective_to=on, known=known) == booked


def test_a_statement_runs_from_page_to_page(books: Books) -> None:
    books.fold(busy_shop())
    first = books.ask(statement, BANK, limit=2)
    last = first[-1]
    rest = books.ask(statement, BANK, after=(last.effective_date, last.position), limit=10)
    assert [(row.kind, row.amount.minor, row.balance.minor) for row in [*first, *rest]] == [
        ("opening_balance", 50000, 50000),
        ("settlement", 950, 50950),
        ("reversal", -950, 50000),
        ("settlement", 1000, 51000),
    ]


def test_a_statement_of_some_days_begins_with_what_was_there_before(books: Books) -> None:
    books.fold(busy_shop())
    days = Days(date(2026, 11, 12), date(2026, 12, 1))
    (row,) = books.ask(statement, BANK, days=days, limit=10)
    assert (row.effective_date, row.balance.minor) == (date(2026, 11, 15), 51000)
