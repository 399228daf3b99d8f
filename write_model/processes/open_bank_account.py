"""Open a bank account on a ledger account, and say what is in it when the books begin."""

from write_model.ledger.chart_of_accounts import CHART, ChartOfAccounts
from write_model.message import Command, Streams, command
from write_model.processes.books import open_draft, post_draft
from write_model.treasury.bank_account import BankAccount, open_account, record_opening_balance
from write_model.treasury.events import AccountKind
from write_model.values.identifiers import BankAccountId
from write_model.values.limits import Code, Name
from write_model.values.money import Money


@command(
    "treasury.open_bank_account",
    on=BankAccount,
    needs="new",
    route="/bank-accounts",
    permission="treasury.write",
    target="bank_account_id",
    resource="bank_account",
)
class OpenBankAccount(Command):
    """Open an account; without a ledger account, the chart's own for cash or for banks."""

    bank_account_id: BankAccountId
    name: Name
    account_kind: AccountKind = "checking"
    bank_code: Code | None = None
    ledger_account: Code | None = None

    async def decide(self, streams: Streams) -> None:
        """Record BankAccountOpened; refuse with AccountUnknown or AccountNotPostable."""
        chart = await streams.load(ChartOfAccounts, CHART)
        role = "cash" if self.account_kind == "cash" else "bank"
        leaf = chart.leaf(self.ledger_account or chart.posting.get(role, role))
        streams.record(
            BankAccount,
            self.bank_account_id,
            open_account(
                bank_account_id=self.bank_account_id,
                name=self.name,
                account_kind=self.account_kind,
                bank_code=self.bank_code,
                ledger_account=leaf.code,
            ),
        )


@command(
    "treasury.record_opening_balance",
    on=BankAccount,
    route="/bank-accounts/{bank_account_id}/record-opening-balance",
    permission="treasury.write",
    target="bank_account_id",
    resource="bank_account",
)
class RecordOpeningBalance(Command):
    """Say what was in an account on the day the books begin; negative when overdrawn."""

    bank_account_id: BankAccountId
    amount: Money

    async def decide(self, streams: Streams) -> None:
        """Record OpeningBalanceRecorded and its entry; refuse with OpeningBalanceAlreadyRecorded."""
        account = await streams.existing(BankAccount, self.bank_account_id)
        draft = await open_draft(streams)
        streams.record(
            BankAccount,
            self.bank_account_id,
            record_opening_balance(account, self.bank_account_id, self.amount),
        )
        if self.amount.is_negative:
            draft.debit("opening_balances", -self.amount)
            draft.credit(account.ledger_account, -self.amount, bank=self.bank_account_id)
        else:
            draft.debit(account.ledger_account, self.amount, bank=self.bank_account_id)
            draft.credit("opening_balances", self.amount)
        await post_draft(
            streams,
            draft,
            rule="opening_balance",
            document_kind="bank_account",
            document_id=self.bank_account_id,
            memo="Saldo de abertura",
        )
