"""The chart of accounts: a tree whose leaves take postings."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, assert_never
from uuid import UUID

from write_model.ledger.default_chart import DEFAULT_ACCOUNTS, DEFAULT_POSTING_ACCOUNTS, TEMPLATE
from write_model.ledger.events import Account, AccountArchived, AccountCreated, ChartAdopted
from write_model.message import Command, Duplicate, Event, Invalid, RuleBroken, State, StateConflict, command
from write_model.values.limits import Code, Name

Facts = ChartAdopted | AccountCreated | AccountArchived

CHART = "main"
"""A company has one chart."""


class ChartOfAccounts(State):
    """The accounts by code, and which of them the posting rules use."""

    __slots__ = ("accounts", "archived", "posting")
    kind: ClassVar[str] = "ledger.chart_of_accounts"

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.archived: set[str] = set()
        self.posting: dict[str, str] = {}

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case ChartAdopted():
                self.accounts = {account.code: account for account in fact.accounts}
                self.posting = {item.role: item.code for item in fact.posting_accounts}
            case AccountCreated():
                self.accounts[fact.code] = Account(
                    code=fact.code, name=fact.name, kind=fact.account_kind, side=fact.side, leaf=True
                )
            case AccountArchived():
                self.archived.add(fact.code)
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """How many accounts there are."""
        return {"accounts": len(self.accounts)}

    def leaf(self, code: str) -> Account:
        """The account that takes postings under `code`; refuses with AccountUnknown or AccountNotPostable."""
        account = self.accounts.get(code)
        if account is None:
            raise AccountUnknown(account=code)
        if not account.leaf or code in self.archived:
            raise AccountNotPostable(account=code)
        return account


class AccountUnknown(RuleBroken):
    """The chart has no such account."""

    pt = "O plano de contas não tem esta conta"


class AccountNotPostable(RuleBroken):
    """This account takes no postings: it is a group, or archived."""

    pt = "Esta conta não aceita lançamentos: é sintética ou está arquivada"


class AccountExists(Duplicate):
    """The chart already has an account with this code."""

    pt = "O plano de contas já tem uma conta com este código"


class AccountIsArchived(StateConflict):
    """This account is already archived."""

    pt = "Esta conta já está arquivada"


class AccountUsedByRules(StateConflict):
    """A posting rule uses this account."""

    pt = "Uma regra de contabilização usa esta conta"


@command(
    "ledger.adopt_chart",
    on=ChartOfAccounts,
    needs="new",
    route="/ledger/charts",
    permission="ledger.chart",
    target="chart",
    resource="chart_of_accounts",
)
class AdoptChart(Command):
    """Take over the default chart of accounts of a Brazilian trading company."""

    chart: Code = CHART

    def stream_key(self) -> UUID | str:
        """A company has one chart, whatever it is called here."""
        return CHART

    def decide(self, chart: ChartOfAccounts) -> Iterator[Event]:
        """Yield ChartAdopted."""
        yield ChartAdopted(
            template=TEMPLATE, accounts=DEFAULT_ACCOUNTS, posting_accounts=DEFAULT_POSTING_ACCOUNTS
        )


@command(
    "ledger.create_account",
    on=ChartOfAccounts,
    route="/ledger/accounts",
    permission="ledger.chart",
    target="code",
    resource="ledger_account",
)
class CreateAccount(Command):
    """Add a leaf to the chart, under a group."""

    code: Code
    name: Name
    parent: Code

    def stream_key(self) -> UUID | str:
        """The one chart of the company."""
        return CHART

    def decide(self, chart: ChartOfAccounts) -> Iterator[Event]:
        """Yield AccountCreated; the new account is of its parent's kind and side."""
        parent = chart.accounts.get(self.parent)
        if parent is None:
            raise AccountUnknown(account=self.parent)
        if self.code in chart.accounts:
            raise AccountExists(account=self.code)
        if parent.leaf or not self.code.startswith(f"{self.parent}."):
            raise Invalid("invalid-parent", "The code must continue that of a group.", {"field": "parent"})
        yield AccountCreated(
            code=self.code, name=self.name, parent=self.parent, account_kind=parent.kind, side=parent.side
        )


@command(
    "ledger.archive_account",
    on=ChartOfAccounts,
    route="/ledger/accounts/{code}/archive",
    permission="ledger.chart",
    target="code",
    resource="ledger_account",
    needs_reason=True,
)
class ArchiveAccount(Command):
    """Take an account out of use."""

    code: Code

    def stream_key(self) -> UUID | str:
        """The one chart of the company."""
        return CHART

    def decide(self, chart: ChartOfAccounts) -> Iterator[Event]:
        """Yield AccountArchived; refuse for groups and accounts that posting rules use."""
        if self.code in chart.archived:
            raise AccountIsArchived
        chart.leaf(self.code)
        if self.code in chart.posting.values():
            raise AccountUsedByRules
        yield AccountArchived(code=self.code)
