"""Folds accounts and the money that moved in them into balances, once into SQL and once into Redis.

The balance is the opening balance, plus the net of settlements, minus that of settlements reversed.
"""

import json
from collections.abc import Sequence
from uuid import UUID

from projections.batch import Batch, RedisBatch
from projections.projector import Reader, RedisProjection, SqlProjection, on
from read_model.treasury.bank_accounts import (
    CURRENCY_BEFORE_MONEY,
    TABLE,
    VIEW,
    account_field,
    balance_field,
    currency_field,
    version_field,
)
from write_model.message import Recorded
from write_model.settlement.events import InstalmentSettled, SettlementReversed
from write_model.treasury.events import BankAccountOpened, OpeningBalanceRecorded


class TreasuryBankAccounts(SqlProjection):
    """One row per account."""

    name = "treasury_bank_accounts"
    version = 1
    tables = (TABLE,)

    async def prepare(self, reader: Reader, page: Sequence[Recorded]) -> None:
        """The accounts in which money moves."""
        accounts = {
            (recorded.company_id, recorded.event.bank_account_id)
            for recorded in page
            if isinstance(recorded.event, OpeningBalanceRecorded | InstalmentSettled | SettlementReversed)
        }
        keys = [{"company_id": company, "bank_account_id": account} for company, account in accounts]
        await reader.load(TABLE, keys)

    @on(BankAccountOpened)
    def opened(self, batch: Batch, recorded: Recorded, fact: BankAccountOpened) -> None:
        batch.put(
            TABLE,
            {
                "bank_account_id": fact.bank_account_id,
                "name": fact.name,
                "account_kind": fact.account_kind,
                "bank_code": fact.bank_code,
                "ledger_account": fact.ledger_account,
                "opened_on": recorded.effective_date,
                "balance_minor": 0,
                "currency": CURRENCY_BEFORE_MONEY,
                "version": recorded.version,
            },
        )

    @on(OpeningBalanceRecorded)
    def opening_balance(self, batch: Batch, recorded: Recorded, fact: OpeningBalanceRecorded) -> None:
        self._change(batch, fact.bank_account_id, fact.amount.minor, fact.amount.currency)
        batch.patch(TABLE, key={"bank_account_id": fact.bank_account_id}, set={"version": recorded.version})

    @on(InstalmentSettled, SettlementReversed)
    def moved(self, batch: Batch, recorded: Recorded, fact: InstalmentSettled | SettlementReversed) -> None:
        self._change(batch, fact.bank_account_id, money_in(fact), fact.amounts.net.currency)

    def _change(self, batch: Batch, bank_account_id: UUID, minor: int, currency: str) -> None:
        key = {"bank_account_id": bank_account_id}
        account = batch.row(TABLE, key)
        if account is None:
            raise LookupError(f"money moved in account {bank_account_id}, which was never opened")
        changes = {"balance_minor": account["balance_minor"] + minor, "currency": currency}
        batch.patch(TABLE, key=key, set=changes)


class TreasuryBankBalances(RedisProjection):
    """The same accounts as fields of one hash per company."""

    name = VIEW
    version = 1
    twin = TreasuryBankAccounts.name

    @on(BankAccountOpened)
    def opened(self, batch: RedisBatch, recorded: Recorded, fact: BankAccountOpened) -> None:
        view = str(recorded.company_id)
        said = {
            "name": fact.name,
            "account_kind": fact.account_kind,
            "bank_code": fact.bank_code,
            "ledger_account": fact.ledger_account,
            "opened_on": recorded.effective_date.isoformat(),
        }
        batch.store(view, account_field(fact.bank_account_id), json.dumps(said, ensure_ascii=False))
        batch.store(view, version_field(fact.bank_account_id), str(recorded.version))

    @on(OpeningBalanceRecorded)
    def opening_balance(self, batch: RedisBatch, recorded: Recorded, fact: OpeningBalanceRecorded) -> None:
        view = str(recorded.company_id)
        batch.increment(view, balance_field(fact.bank_account_id), fact.amount.minor)
        batch.store(view, currency_field(fact.bank_account_id), fact.amount.currency)
        batch.store(view, version_field(fact.bank_account_id), str(recorded.version))

    @on(InstalmentSettled, SettlementReversed)
    def moved(
        self, batch: RedisBatch, recorded: Recorded, fact: InstalmentSettled | SettlementReversed
    ) -> None:
        view = str(recorded.company_id)
        batch.increment(view, balance_field(fact.bank_account_id), money_in(fact))
        batch.store(view, currency_field(fact.bank_account_id), fact.amounts.net.currency)


def money_in(fact: InstalmentSettled | SettlementReversed) -> int:
    """The centavos that came into the account; negative when they left it again."""
    net = fact.amounts.net.minor
    return -net if isinstance(fact, SettlementReversed) else net
