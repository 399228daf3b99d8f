"""The income statement (DRE) and its layouts."""

from datetime import date

import pytest

from read_model.known import KnownAsOf
from read_model.ledger.accounts import RESULT_KINDS
from read_model.ledger.income_statement import UNASSIGNED, IncomeStatement, income_statement
from read_model.ledger.layouts import BadLayout, Layout, layout_of, layouts
from read_model.ledger.lines import LineSelection, ledger_sums
from read_model.selection import Days
from tests.reports.books import Books
from tests.reports.shop import SECOND, busy_shop, settle
from tests.scenario import an_id, brl
from write_model.ledger.chart_of_accounts import CreateAccount
from write_model.ledger.default_chart import DEFAULT_ACCOUNTS
from write_model.processes.journal import PostJournalEntry, RequestedPosting
from write_model.values.identifiers import JournalEntryId

OCTOBER_1, NOVEMBER_30 = date(2026, 10, 1), date(2026, 11, 30)


def asked(
    books: Books, *, layout: str = "art187", by_month: bool = True, known: KnownAsOf | None = None
) -> IncomeStatement:
    return books.ask(
        income_statement,
        layout=layouts()[layout],
        first=OCTOBER_1,
        last=NOVEMBER_30,
        by_month=by_month,
        known=known or KnownAsOf(),
    )


def figures(made: IncomeStatement) -> dict[str, list[int]]:
    return {line.key: [amount.minor for amount in line.amounts] for line in made.lines}


@pytest.mark.parametrize("layout", layouts().values(), ids=lambda layout: layout.name)
def test_a_layout_covers_each_result_account_exactly_once(layout: Layout) -> None:
    result = [account for account in DEFAULT_ACCOUNTS if account.leaf and account.kind in RESULT_KINDS]
    other = [account for account in DEFAULT_ACCOUNTS if account.leaf and account.kind not in RESULT_KINDS]
    assert [account.code for account in result if layout.line_of(account.code) is None] == []
    assert [account.code for account in other if layout.line_of(account.code) is not None] == []


def test_the_law_names_the_lines_and_their_order() -> None:
    assert [line.key for line in layouts()["art187"].lines if line.sum_of] == [
        "net_revenue",
        "gross_profit",
        "operating_result",
        "result_before_tax",
        "net_income",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([("a", ["3"], []), ("b", ["3"], []), ("c", [], ["a", "b"])], id="an-account-twice"),
        pytest.param([("a", ["3"], []), ("b", ["4"], []), ("c", [], ["a"])], id="a-line-in-no-sum"),
        pytest.param([("a", ["3"], []), ("b", [], ["a", "a"])], id="a-line-summed-twice"),
        pytest.param([("b", [], ["a"]), ("a", ["3"], [])], id="a-sum-of-lines-below"),
        pytest.param([("a", ["3"], []), ("b", [], [])], id="an-empty-line"),
    ],
)
def test_a_layout_that_cannot_add_up_is_refused(lines: list[tuple[str, list[str], list[str]]]) -> None:
    labels = {"pt-BR": "Linha", "en": "Line"}
    data = [{"key": key, "accounts": accounts, "sum_of": parts, **labels} for key, accounts, parts in lines]
    about = {"layout": "broken", "version": 1, "source": "", "title": labels, "share_of": "a"}
    with pytest.raises(BadLayout):
        layout_of({**about, "lines": data})


def test_the_statement_adds_up_month_by_month(books: Books) -> None:
    books.fold(busy_shop())
    made = asked(books)
    assert [column.label for column in made.columns] == ["2026-10", "2026-11", "2026-10-01/2026-11-30"]
    found = figures(made)
    # The reversal takes back the fee of October in November.
    assert found["gross_revenue"] == [2000, 3000, 5000]
    assert found["cost_of_sales"] == [-600, -900, -1500]
    assert found["selling_expenses"] == [-50, 50, 0]
    assert found["net_income"] == [1350, 2150, 3500]
    assert made.net_income.minor == 3500
    shares = {line.key: line.shares_bp for line in made.lines}
    assert shares["gross_profit"] == (7000, 7000, 7000)


@pytest.mark.parametrize("layout", sorted(layouts()))
def test_every_figure_is_the_sum_of_the_lines_that_explain_it(books: Books, layout: str) -> None:
    books.fold(busy_shop())
    made = asked(books, layout=layout)
    for line in made.lines:
        for column, amount in zip(made.columns, line.amounts, strict=True):
            days = Days(column.first).up_to(column.last)
            selection = LineSelection(accounts=line.accounts, effective_date=days)
            sums = books.ask(ledger_sums, selection) if line.accounts else []
            assert -sum(part.net.minor for part in sums) == amount.minor


def test_every_layout_comes_to_the_same_result(books: Books) -> None:
    books.fold(busy_shop())
    results = {asked(books, layout=name, by_month=False).net_income.minor for name in layouts()}
    assert results == {3500}


def test_the_statement_as_it_was_known_then(books: Books) -> None:
    company = busy_shop()
    books.fold(company)
    known = KnownAsOf(position=books.head)
    company.given(settle(SECOND, 1, "10.00", fee="1.00"), on=date(2026, 11, 12))
    books.fold(company)
    assert figures(asked(books, known=known))["net_income"][-1] == 3500
    assert figures(asked(books))["net_income"][-1] == 3400


def test_an_account_outside_the_layout_is_not_lost(books: Books) -> None:
    company = busy_shop()
    company.given(CreateAccount(code="3.9", name="Receitas novas", parent="3"))
    postings = (
        RequestedPosting(account_code="1.1.1.01", side="D", amount=brl("7.00")),
        RequestedPosting(account_code="3.9", side="C", amount=brl("7.00")),
    )
    entry_id = JournalEntryId(an_id("entry"))
    company.given(PostJournalEntry(entry_id=entry_id, memo="Receita", lines=postings), on=date(2026, 11, 20))
    books.fold(company)
    made = asked(books, by_month=False)
    assert figures(made)[UNASSIGNED] == [700]
    assert made.net_income.minor == 4200
