"""Facts about the ledger."""

from dataclasses import dataclass
from datetime import date
from typing import Literal
from uuid import UUID

from write_model.message import Event, event
from write_model.values.identifiers import BankAccountId, JournalEntryId, PartyId
from write_model.values.money import Money

Side = Literal["D", "C"]
AccountKind = Literal["asset", "liability", "equity", "revenue", "deduction", "cost", "expense"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account of the chart. Only leaves take postings. `side` is the side that increases it."""

    code: str
    name: str
    kind: AccountKind
    side: Side
    leaf: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingAccount:
    """Which account the posting rules use for a role such as `receivables`."""

    role: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLine:
    """One posting. The account's name is kept as it was on the day."""

    account_code: str
    account_name: str
    side: Side
    amount: Money
    party_id: PartyId | None = None
    bank_account_id: BankAccountId | None = None
    memo: str | None = None


@event(
    "ledger.chart_adopted",
    pt="Plano de contas {template} adotado ({accounts} contas)",
    en="Chart of accounts {template} adopted ({accounts} accounts)",
)
class ChartAdopted(Event):
    """The company took over a chart of accounts, whole."""

    template: str
    accounts: tuple[Account, ...]
    posting_accounts: tuple[PostingAccount, ...]


@event("ledger.account_created", pt="Conta {code} criada: {name}", en="Account {code} created: {name}")
class AccountCreated(Event):
    """A leaf was added to the chart under an existing account."""

    code: str
    name: str
    parent: str
    account_kind: AccountKind
    side: Side


@event("ledger.account_archived", pt="Conta {code} arquivada", en="Account {code} archived")
class AccountArchived(Event):
    """The account takes no more postings."""

    code: str


@event(
    "ledger.journal_entry_posted",
    pt="Lançamento contábil com {lines} partida(s): {memo}",
    en="Journal entry with {lines} line(s): {memo}",
    importance="detail",
)
class JournalEntryPosted(Event):
    """A balanced entry: debits equal credits. `rule` names what posted it, `document` what it is about."""

    entry_id: JournalEntryId
    rule: str
    rule_version: int
    document_kind: str
    document_id: UUID
    memo: str
    reverses: JournalEntryId | None
    lines: tuple[EntryLine, ...]


@event(
    "ledger.journal_entry_reversed",
    pt="Lançamento estornado",
    en="Journal entry reversed",
    importance="detail",
)
class JournalEntryReversed(Event):
    """The entry was undone by another; both point at each other."""

    entry_id: JournalEntryId
    reversed_by: JournalEntryId


@event("ledger.period_closed", pt="Período {period} fechado", en="Period {period} closed")
class PeriodClosed(Event):
    """Nothing more is posted up to `last_day`. `period` is `YYYY-MM`."""

    period: str
    last_day: date


@event("ledger.period_reopened", pt="Período {period} reaberto", en="Period {period} reopened")
class PeriodReopened(Event):
    """The last closed month takes postings again."""

    period: str
    first_day: date
