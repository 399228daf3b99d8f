"""The books: lines, entries, chart, periods and the trial balance."""

from datetime import date

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from read_model.known import KnownAsOf
from read_model.ledger.accounts import ledger_accounts
from read_model.ledger.entries import ledger_entries, ledger_entry
from read_model.ledger.lines import LineSelection, ledger_lines, ledger_sums
from read_model.ledger.periods import periods
from read_model.ledger.trial_balance import TrialBalance, trial_balance
from read_model.selection import Days
from tests.decisions.sales_setting import draft, goods, open_shop
from tests.reports.books import Books
from tests.reports.shop import CANCELLED, FIRST, SECOND, busy_shop, settle
from tests.scenario import an_id
from write_model.ledger.accounting_periods import ClosePeriod, ReopenPeriod
from write_model.ledger.chart_of_accounts import ArchiveAccount, CreateAccount
from write_model.ledger.default_chart import DEFAULT_ACCOUNTS
from write_model.ledger.events import JournalEntryPosted
from write_model.processes.books import entry_id_for
from write_model.processes.cancel_sale import CancelSale
from write_model.processes.confirm_sale import ConfirmSale
from write_model.values.identifiers import SaleId
from write_model.values.period import Period

YEAR_END = date(2026, 12, 31)


def closing(balance: TrialBalance) -> dict[str, int]:
    """The closing balances of leaves."""
    return {row.account_code: row.closing.minor for row in balance.rows if row.leaf}


def test_a_line_names_its_event_its_command_and_its_document(books: Books) -> None:
    company = busy_shop()
    books.fold(company)
    (posting,) = [
        item
        for item in company.store.log
        if isinstance(item.event, JournalEntryPosted)
        and item.event.entry_id == entry_id_for(FIRST, "sale_confirmed")
    ]
    lines = books.ask(ledger_lines, LineSelection(entry_id=entry_id_for(FIRST, "sale_confirmed")), limit=10)
    assert [(line.account_code, line.side, line.amount.minor) for line in lines] == [
        ("1.1.2.01", "D", 2000),
        ("3.1.1.01", "C", 2000),
        ("4.1.1.01", "D", 600),
        ("1.1.3.01", "C", 600),
    ]
    for line in lines:
        assert (line.event_id, line.command_id) == (posting.event_id, posting.command_id)
        assert (line.actor.id, line.document.id, line.rule) == (company.actor.id, FIRST, "sale_confirmed")


def test_an_account_stands_for_all_below_it_and_for_nothing_beside_it(books: Books) -> None:
    books.fold(busy_shop())

    def codes(*accounts: str) -> set[str]:
        found = books.ask(ledger_lines, LineSelection(accounts=accounts), limit=200)
        return {line.account_code for line in found}

    assert codes("1.1") == {"1.1.1.02", "1.1.2.01", "1.1.3.01"}
    assert codes("1.1.1.02") == {"1.1.1.02"}
    assert codes("1.1.1.0") == set()
    assert codes("3", "4.1.1.01") == {"3.1.1.01", "4.1.1.01"}


def test_an_entry_and_its_reversal_point_at_each_other(books: Books) -> None:
    books.fold(busy_shop(), page=2)
    original = books.ask(ledger_entry, entry_id_for(CANCELLED, "sale_confirmed"))
    assert original is not None
    assert original.entry.reversed_by is not None
    reversal = books.ask(ledger_entry, original.entry.reversed_by)
    assert reversal is not None
    assert reversal.entry.reverses == original.entry.id
    assert original.entry.total.minor == 1300
    assert {(line.account_code, line.side) for line in original.lines} == {
        (line.account_code, "C" if line.side == "D" else "D") for line in reversal.lines
    }
    assert len(books.ask(ledger_entries, document_id=CANCELLED, limit=10)) == 2


def test_the_chart_is_the_one_adopted_with_what_was_added(books: Books) -> None:
    company = open_shop()
    company.given(
        CreateAccount(code="5.2.1.10", name="Seguros", parent="5.2.1"), ArchiveAccount(code="5.2.1.02")
    )
    books.fold(company)
    chart = books.ask(ledger_accounts)
    assert len(chart) == len(DEFAULT_ACCOUNTS) + 1
    codes = [account.code for account in chart]
    assert codes[codes.index("5.2.1.05") + 1] == "5.2.1.10"
    assert [account.code for account in books.ask(ledger_accounts, status="archived")] == ["5.2.1.02"]


def test_a_closed_month_closes_the_months_before_it(books: Books) -> None:
    company = busy_shop()
    company.given(ClosePeriod(period=Period(2026, 10)), ClosePeriod(period=Period(2026, 11)))
    company.given(ReopenPeriod(period=Period(2026, 11)), reason="nota atrasada")
    books.fold(company, page=1)
    found = books.ask(periods)
    assert [(row.period, row.status, row.entries) for row in found] == [
        ("2026-11", "open", 6),
        ("2026-10", "closed", 3),
    ]
    assert found[0].reason == "nota atrasada"


def test_the_trial_balance_rolls_up_into_groups(books: Books) -> None:
    company = busy_shop()
    books.fold(company)
    balance = books.ask(trial_balance, effective_from=date(2026, 11, 1), effective_to=YEAR_END)
    assert {code: minor for code, minor in closing(balance).items() if minor} == company.balances()
    by_code = {row.account_code: row for row in balance.rows}
    current = by_code["1.1"]
    parts = [row for row in balance.rows if row.leaf and row.account_code.startswith("1.1.")]
    assert (current.account_name, current.leaf) == ("Ativo circulante", False)
    for figure in ("opening", "debits", "credits", "closing"):
        assert getattr(current, figure).minor == sum(getattr(part, figure).minor for part in parts)
    (total,) = balance.totals
    assert total.in_balance
    assert (total.opening.minor, total.closing.minor) == (0, 0)


def test_every_figure_is_the_sum_of_the_lines_that_explain_it(books: Books) -> None:
    books.fold(busy_shop())
    first, end = date(2026, 11, 1), date(2026, 11, 13)
    balance = books.ask(trial_balance, effective_from=first, effective_to=date(2026, 11, 12))
    for row in balance.rows:
        account = (row.account_code,)
        moved = books.ask(ledger_sums, LineSelection(accounts=account, effective_date=Days(first, end)))
        before = books.ask(ledger_sums, LineSelection(accounts=account, effective_date=Days(end=first)))
        assert sum(part.net.minor for part in moved) == row.debits.minor - row.credits.minor
        assert sum(part.net.minor for part in before) == row.opening.minor


operations = st.lists(
    st.tuples(
        st.sampled_from(["sell", "settle", "cancel"]),
        st.integers(0, 5),
        st.integers(1, 9),
        st.dates(date(2026, 9, 1), date(2026, 12, 31)),
    ),
    max_size=12,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(operations=operations, cut=st.dates(date(2026, 8, 31), date(2027, 1, 31)), page=st.integers(1, 40))
def test_the_books_are_in_balance_at_every_prefix_of_the_log(
    books: Books, operations: list[tuple[str, int, int, date]], cut: date, page: int
) -> None:
    company = open_shop(stock="1000")
    sold: dict[int, SaleId] = {}
    for at, (kind, which, quantity, day) in enumerate(operations):
        if kind == "sell":
            sold[which] = sale = SaleId(an_id(f"sale {at}"))
            plan = ((f"{quantity * 10}.00", day),)
            company.given(
                draft(goods(str(quantity)), plan=plan, sale_id=sale), ConfirmSale(sale_id=sale), on=day
            )
        elif which in sold:
            command = settle(sold[which], 1, "3.33") if kind == "settle" else CancelSale(sale_id=sold[which])
            company.when(command, on=day, reason="teste")
    offset = books.head
    books.fold(company, page=page)
    posted = [item.position for item in company.store.log if isinstance(item.event, JournalEntryPosted)]
    for position in posted[-6:]:
        known = KnownAsOf(position=offset + position)
        for balance in (
            books.ask(trial_balance, effective_to=cut, known=known),
            books.ask(trial_balance, effective_from=cut, effective_to=date(2027, 12, 31), known=known),
        ):
            assert all(total.in_balance for total in balance.totals)
            assert sum(closing(balance).values()) == 0
    whole = books.ask(trial_balance, effective_to=date(2027, 12, 31))
    assert {code: minor for code, minor in closing(whole).items() if minor} == company.balances()


def test_what_was_known_before_does_not_change(books: Books) -> None:
    company = busy_shop()
    books.fold(company)
    known = KnownAsOf(position=books.head)
    before = books.ask(trial_balance, effective_to=YEAR_END, known=known)
    company.given(settle(SECOND, 1, "30.00"), on=date(2026, 11, 12))
    books.fold(company)
    assert books.ask(trial_balance, effective_to=YEAR_END, known=known) == before
    assert books.ask(trial_balance, effective_to=YEAR_END) != before
