"""Facts about bank and cash accounts."""

from typing import Literal

from write_model.message import Event, event
from write_model.values.identifiers import BankAccountId
from write_model.values.money import Money

AccountKind = Literal["cash", "checking", "savings", "payment"]


@event("treasury.bank_account_opened", pt="Conta {name} aberta", en="Account {name} opened")
class BankAccountOpened(Event):
    """Money can be received in this account. `payment` is one at a payment institution."""

    bank_account_id: BankAccountId
    name: str
    account_kind: AccountKind
    bank_code: str | None
    ledger_account: str


@event(
    "treasury.opening_balance_recorded",
    pt="Saldo de abertura de {amount} registrado",
    en="Opening balance of {amount} recorded",
)
class OpeningBalanceRecorded(Event):
    """What was in the account on the day the books begin; negative when overdrawn."""

    bank_account_id: BankAccountId
    amount: Money
