"""Folds the chart of accounts into rows."""

from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.ledger.accounts import TABLE
from write_model.ledger.events import AccountArchived, AccountCreated, ChartAdopted
from write_model.message import Recorded


class LedgerAccounts(SqlProjection):
    """One row per account."""

    name = "ledger_accounts"
    version = 1
    tables = (TABLE,)

    @on(ChartAdopted)
    def adopted(self, batch: Batch, recorded: Recorded, fact: ChartAdopted) -> None:
        for account in fact.accounts:
            batch.put(
                TABLE,
                {
                    "code": account.code,
                    "name": account.name,
                    "kind": account.kind,
                    "side": account.side,
                    "leaf": account.leaf,
                    "parent": account.code.rpartition(".")[0] or None,
                    "status": "active",
                    "version": recorded.version,
                },
            )

    @on(AccountCreated)
    def created(self, batch: Batch, recorded: Recorded, fact: AccountCreated) -> None:
        batch.put(
            TABLE,
            {
                "code": fact.code,
                "name": fact.name,
                "kind": fact.account_kind,
                "side": fact.side,
                "leaf": True,
                "parent": fact.parent,
                "status": "active",
                "version": recorded.version,
            },
        )

    @on(AccountArchived)
    def archived(self, batch: Batch, recorded: Recorded, fact: AccountArchived) -> None:
        changes = {"status": "archived", "version": recorded.version}
        batch.patch(TABLE, key={"code": fact.code}, set=changes)
