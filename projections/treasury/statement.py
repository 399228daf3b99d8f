"""Folds the money that moved in accounts into their statements."""

from projections.batch import Batch
from projections.projector import SqlProjection, on
from projections.treasury.bank_accounts import money_in
from read_model.treasury.statement import TABLE
from write_model.message import Recorded
from write_model.settlement.events import InstalmentSettled, SettlementReversed
from write_model.treasury.events import OpeningBalanceRecorded


class TreasuryStatement(SqlProjection):
    """One row per movement."""

    name = "treasury_statement"
    version = 1
    tables = (TABLE,)

    @on(OpeningBalanceRecorded)
    def opening_balance(self, batch: Batch, recorded: Recorded, fact: OpeningBalanceRecorded) -> None:
        batch.put(
            TABLE,
            {
                "bank_account_id": fact.bank_account_id,
                "kind": "opening_balance",
                "amount_minor": fact.amount.minor,
                "currency": fact.amount.currency,
                **_when(recorded),
            },
        )

    @on(InstalmentSettled, SettlementReversed)
    def moved(self, batch: Batch, recorded: Recorded, fact: InstalmentSettled | SettlementReversed) -> None:
        batch.put(
            TABLE,
            {
                "bank_account_id": fact.bank_account_id,
                "kind": "reversal" if isinstance(fact, SettlementReversed) else "settlement",
                "amount_minor": money_in(fact),
                "currency": fact.amounts.net.currency,
                "party_id": fact.party_id,
                "settlement_id": fact.settlement_id,
                **_when(recorded),
            },
        )


def _when(recorded: Recorded) -> dict[str, object]:
    return {
        "position": recorded.position,
        "effective_date": recorded.effective_date,
        "recorded_at": recorded.recorded_at,
        "event_id": recorded.event_id,
    }
