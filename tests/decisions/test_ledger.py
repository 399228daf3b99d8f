"""Decisions about the ledger: entries, the chart, the periods."""

from datetime import date

import pytest

from tests.scenario import Company, an_id, brl
from write_model.ledger.accounting_periods import (
    ClosePeriod,
    PeriodAlreadyClosed,
    PeriodOutOfOrder,
    ReopenPeriod,
)
from write_model.ledger.chart_of_accounts import (
    AccountExists,
    AccountIsArchived,
    AccountNotPostable,
    AccountUnknown,
    AccountUsedByRules,
    AdoptChart,
    ArchiveAccount,
    CreateAccount,
)
from write_model.ledger.default_chart import DEFAULT_ACCOUNTS, DEFAULT_POSTING_ACCOUNTS
from write_model.ledger.events import (
    AccountArchived,
    AccountCreated,
    JournalEntryPosted,
    JournalEntryReversed,
    PeriodReopened,
)
from write_model.ledger.events import PeriodClosed as PeriodWasClosed
from write_model.ledger.journal_entry import (
    EntryAlreadyReversed,
    EntryBelongsToDocument,
    EntryIsReversal,
    EntryNotBalanced,
    EntryTooSmall,
)
from write_model.message import Invalid, NotFound, PeriodClosed
from write_model.processes.books import entry_id_for
from write_model.processes.journal import PostJournalEntry, RequestedPosting, ReverseJournalEntry
from write_model.processes.open_bank_account import OpenBankAccount, RecordOpeningBalance
from write_model.treasury.bank_account import OpeningBalanceAlreadyRecorded
from write_model.treasury.events import BankAccountOpened, OpeningBalanceRecorded
from write_model.values.identifiers import BankAccountId, JournalEntryId
from write_model.values.period import Period

ENTRY = JournalEntryId(an_id("entry"))
BANK = BankAccountId(an_id("bank"))


def entry(*lines: tuple[str, str, str]) -> PostJournalEntry:
    """(account, side, amount) lines."""
    return PostJournalEntry(
        entry_id=ENTRY,
        memo="Aporte",
        lines=tuple(
            RequestedPosting(account_code=code, side=side, amount=brl(amount))  # type: ignore[arg-type]
            for code, side, amount in lines
        ),
    )


CAPITAL = entry(("1.1.1.01", "D", "100.00"), ("2.3.1.01", "C", "100.00"))


def test_a_balanced_entry_is_posted_once() -> None:
    company = Company()
    company.when(CAPITAL)
    company.then(JournalEntryPosted)
    company.when(CAPITAL)
    assert type(company.error).__name__ == "AlreadyExists"


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ((), EntryTooSmall),
        ((("1.1.1.01", "D", "1.00"),), EntryTooSmall),
        ((("1.1.1.01", "D", "1.00"), ("1.1.1.02", "D", "1.00")), EntryTooSmall),
        ((("1.1.1.01", "D", "1.00"), ("2.3.1.01", "C", "0.99")), EntryNotBalanced),
        ((("1.1.1.01", "D", "0.00"), ("2.3.1.01", "C", "0.00")), Invalid),
        ((("1.1.1.01", "D", "-1.00"), ("2.3.1.01", "C", "-1.00")), Invalid),
        ((("9.9.9.99", "D", "1.00"), ("2.3.1.01", "C", "1.00")), AccountUnknown),
        ((("1.1.1", "D", "1.00"), ("2.3.1.01", "C", "1.00")), AccountNotPostable),
    ],
)
def test_anything_but_a_balanced_entry_on_leaves_is_refused(
    lines: tuple[tuple[str, str, str], ...], error: type[Exception]
) -> None:
    company = Company()
    company.when(entry(*lines))
    company.refused(error)


def test_a_reversal_mirrors_the_entry_and_happens_once() -> None:
    company = Company()
    company.given(CAPITAL)
    company.when(ReverseJournalEntry(entry_id=ENTRY), reason="erro")
    company.then(JournalEntryPosted, JournalEntryReversed)
    assert company.balances() == {}
    company.when(ReverseJournalEntry(entry_id=ENTRY), reason="erro")
    company.refused(EntryAlreadyReversed)
    company.when(ReverseJournalEntry(entry_id=entry_id_for(ENTRY, "manual_reversed")), reason="erro")
    company.refused(EntryIsReversal)


def test_an_entry_of_a_document_is_undone_by_the_document() -> None:
    company = Company()
    company.given(OpenBankAccount(bank_account_id=BANK, name="Banco"))
    company.given(RecordOpeningBalance(bank_account_id=BANK, amount=brl("10.00")))
    company.when(ReverseJournalEntry(entry_id=entry_id_for(BANK, "opening_balance")), reason="erro")
    company.refused(EntryBelongsToDocument)


@pytest.mark.parametrize("amount", ["10.00", "-10.00"])
def test_an_opening_balance_is_recorded_once(amount: str) -> None:
    company = Company()
    company.when(OpenBankAccount(bank_account_id=BANK, name="Banco", bank_code="341"))
    company.then(BankAccountOpened)
    company.when(RecordOpeningBalance(bank_account_id=BANK, amount=brl(amount)))
    company.then(OpeningBalanceRecorded, JournalEntryPosted)
    assert company.balances()["1.1.1.02"] == brl(amount).minor
    company.when(RecordOpeningBalance(bank_account_id=BANK, amount=brl(amount)))
    company.refused(OpeningBalanceAlreadyRecorded)


def test_a_bank_account_needs_a_leaf_and_a_bank_code_of_three_digits() -> None:
    company = Company()
    company.when(OpenBankAccount(bank_account_id=BANK, name="Banco", ledger_account="1.1.1"))
    company.refused(AccountNotPostable)
    company.when(OpenBankAccount(bank_account_id=BANK, name="Banco", bank_code="34٣"))
    company.refused(Invalid)


def test_months_close_in_order_and_reopen_from_the_last() -> None:
    company = Company()
    company.when(ClosePeriod(period=Period(2026, 9)))
    company.then(PeriodWasClosed)
    company.when(ClosePeriod(period=Period(2026, 11)))
    company.refused(PeriodOutOfOrder, next="2026-10")
    company.given(ClosePeriod(period=Period(2026, 10)))
    company.when(ClosePeriod(period=Period(2026, 9)))
    company.refused(PeriodAlreadyClosed)
    company.when(ReopenPeriod(period=Period(2026, 9)), reason="ajuste")
    company.refused(PeriodOutOfOrder)
    company.when(ReopenPeriod(period=Period(2026, 10)), reason="ajuste")
    company.then(PeriodReopened)
    company.when(CAPITAL, on=date(2026, 10, 31))
    company.then(JournalEntryPosted)


def test_nothing_is_posted_or_reversed_into_a_closed_month() -> None:
    company = Company()
    company.given(CAPITAL, on=date(2026, 9, 30))
    company.given(ClosePeriod(period=Period(2026, 9)))
    company.when(ReverseJournalEntry(entry_id=ENTRY), on=date(2026, 9, 30), reason="erro")
    company.refused(PeriodClosed)
    company.when(ReverseJournalEntry(entry_id=ENTRY), on=date(2026, 10, 1), reason="erro")
    assert company.error is None


def test_leaves_are_added_under_groups_and_archived_unless_rules_use_them() -> None:
    company = Company()
    company.when(CreateAccount(code="5.2.1.90", name="Software", parent="5.2.1"))
    company.then(AccountCreated)
    company.when(CreateAccount(code="5.2.1.90", name="Outra", parent="5.2.1"))
    company.refused(AccountExists)
    company.when(CreateAccount(code="5.2.1.90.1", name="Filha", parent="5.2.1.90"))
    company.refused(Invalid)
    company.when(CreateAccount(code="6.1", name="Solta", parent="5.2.1"))
    company.refused(Invalid)
    company.when(CreateAccount(code="7.1", name="Órfã", parent="7"))
    company.refused(AccountUnknown)
    company.when(ArchiveAccount(code="5.2.1.90"), reason="sem uso")
    company.then(AccountArchived)
    company.when(ArchiveAccount(code="5.2.1.90"), reason="sem uso")
    company.refused(AccountIsArchived)
    company.when(ArchiveAccount(code="1.1.2.01"), reason="sem uso")
    company.refused(AccountUsedByRules)
    company.when(entry(("5.2.1.90", "D", "1.00"), ("1.1.1.01", "C", "1.00")))
    company.refused(AccountNotPostable)


def test_a_company_adopts_a_chart_once() -> None:
    company = Company()
    company.when(AdoptChart())
    assert type(company.error).__name__ == "AlreadyExists"


def test_without_a_chart_nothing_can_be_posted() -> None:
    company = Company()
    company.store.log = [r for r in company.store.log if r.topic != "ledger.chart_adopted"]
    company = _fresh_cache(company)
    company.when(CAPITAL)
    company.refused(AccountUnknown)


def _fresh_cache(company: Company) -> Company:
    from write_model.dispatch import Dispatcher

    company.dispatcher = Dispatcher(company.store, company.dispatcher._ids)  # type: ignore[arg-type]
    return company


def test_the_default_chart_is_a_tree_whose_rules_use_leaves() -> None:
    codes = {account.code: account for account in DEFAULT_ACCOUNTS}
    assert len(codes) == len(DEFAULT_ACCOUNTS)
    for code, account in codes.items():
        parent = code.rpartition(".")[0]
        assert not parent or not codes[parent].leaf
        assert not parent or account.kind == codes[parent].kind or parent in {"2", "3"}
    assert all(codes[item.code].leaf for item in DEFAULT_POSTING_ACCOUNTS)


def test_a_missing_entry_is_not_found() -> None:
    company = Company()
    company.when(ReverseJournalEntry(entry_id=ENTRY), reason="erro")
    company.refused(NotFound, resource="journal_entry")
