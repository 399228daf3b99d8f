"""A bank or cash account of the company."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, assert_never

from write_model.message import Event, Invalid, State, StateConflict
from write_model.treasury.events import AccountKind, BankAccountOpened, OpeningBalanceRecorded
from write_model.values.identifiers import BankAccountId
from write_model.values.money import Money

Facts = BankAccountOpened | OpeningBalanceRecorded


class BankAccount(State):
    """Which ledger account holds its money, and whether its opening balance is known."""

    __slots__ = ("ledger_account", "opening_balance", "status")
    kind: ClassVar[str] = "treasury.bank_account"

    def __init__(self) -> None:
        self.status = "unknown"
        self.ledger_account = ""
        self.opening_balance: Money | None = None

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case BankAccountOpened():
                self.status = "open"
                self.ledger_account = fact.ledger_account
            case OpeningBalanceRecorded():
                self.opening_balance = fact.amount
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """Status and ledger account."""
        return {"status": self.status, "ledger_account": self.ledger_account}


class OpeningBalanceAlreadyRecorded(StateConflict):
    """The opening balance of this account is already recorded."""

    pt = "O saldo de abertura desta conta já foi registrado"


def open_account(
    *,
    bank_account_id: BankAccountId,
    name: str,
    account_kind: AccountKind,
    bank_code: str | None,
    ledger_account: str,
) -> Iterator[Event]:
    """Open an account; yields BankAccountOpened."""
    if bank_code is not None and not (len(bank_code) == 3 and bank_code.isascii() and bank_code.isdigit()):
        raise Invalid("invalid-bank-code", "A bank code has three digits.", {"field": "bank_code"})
    yield BankAccountOpened(
        bank_account_id=bank_account_id,
        name=name,
        account_kind=account_kind,
        bank_code=bank_code,
        ledger_account=ledger_account,
    )


def record_opening_balance(
    account: BankAccount, bank_account_id: BankAccountId, amount: Money
) -> Iterator[Event]:
    """Say what was there when the books begin, once; yields OpeningBalanceRecorded."""
    if account.opening_balance is not None:
        raise OpeningBalanceAlreadyRecorded
    yield OpeningBalanceRecorded(bank_account_id=bank_account_id, amount=amount)
