"""Folds payments and their reversals into the list of settlements."""

from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.settlement.settlements import TABLE
from write_model.message import Recorded
from write_model.settlement.events import InstalmentSettled, SettlementReversed


class SettlementSettlements(SqlProjection):
    """One row per settlement."""

    name = "settlement_settlements"
    version = 1
    tables = (TABLE,)

    @on(InstalmentSettled)
    def settled(self, batch: Batch, recorded: Recorded, fact: InstalmentSettled) -> None:
        amounts = fact.amounts
        batch.put(
            TABLE,
            {
                "settlement_id": fact.settlement_id,
                "receivable_id": fact.receivable_id,
                "instalment_id": fact.instalment_id,
                "instalment_number": fact.number,
                "party_id": fact.party_id,
                "bank_account_id": fact.bank_account_id,
                "paid_on": fact.paid_on,
                "gross_minor": amounts.gross.minor,
                "principal_minor": amounts.principal.minor,
                "interest_minor": amounts.interest.minor,
                "fine_minor": amounts.fine.minor,
                "discount_minor": amounts.discount.minor,
                "fee_minor": amounts.fee.minor,
                "tax_withheld_minor": amounts.tax_withheld.minor,
                "net_minor": amounts.net.minor,
                "waived_minor": fact.waived.minor,
                "currency": amounts.gross.currency,
                "event_id": recorded.event_id,
                "position": recorded.position,
            },
        )

    @on(SettlementReversed)
    def reversed(self, batch: Batch, recorded: Recorded, fact: SettlementReversed) -> None:
        changes = {
            "reversed_on": recorded.effective_date,
            "reversal_reason": recorded.reason,
            "reversal_event_id": recorded.event_id,
        }
        batch.patch(TABLE, key={"settlement_id": fact.settlement_id}, set=changes)
