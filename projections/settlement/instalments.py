"""Folds the facts about titles into their instalments: each settlement says what is open after it."""

from typing import Any

from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.settlement.instalments import TABLE
from write_model.message import Recorded
from write_model.settlement.events import (
    InstalmentSettled,
    ReceivableCancelled,
    ReceivableCreated,
    SettlementReversed,
)


class SettlementInstalments(SqlProjection):
    """One row per instalment."""

    name = "settlement_instalments"
    version = 1
    tables = (TABLE,)

    @on(ReceivableCreated)
    def created(self, batch: Batch, recorded: Recorded, fact: ReceivableCreated) -> None:
        for item in fact.instalments:
            batch.put(
                TABLE,
                {
                    "instalment_id": item.instalment_id,
                    "receivable_id": fact.receivable_id,
                    "number": item.number,
                    "count": len(fact.instalments),
                    "party_id": fact.party_id,
                    "document_kind": fact.document_kind,
                    "document_id": fact.document_id,
                    "method": item.method,
                    "due_date": item.due_date,
                    "amount_minor": item.amount.minor,
                    "open_minor": item.amount.minor,
                    "currency": item.amount.currency,
                    "status": "open",
                    "version": recorded.version,
                },
            )

    @on(InstalmentSettled)
    def settled(self, batch: Batch, recorded: Recorded, fact: InstalmentSettled) -> None:
        changes = {**_open_after(recorded, fact), "last_paid_on": fact.paid_on}
        batch.patch(TABLE, key={"instalment_id": fact.instalment_id}, set=changes)

    @on(SettlementReversed)
    def reversed(self, batch: Batch, recorded: Recorded, fact: SettlementReversed) -> None:
        changes = _open_after(recorded, fact)
        batch.patch(TABLE, key={"instalment_id": fact.instalment_id}, set=changes)

    @on(ReceivableCancelled)
    def cancelled(self, batch: Batch, recorded: Recorded, fact: ReceivableCancelled) -> None:
        changes = {"open_minor": 0, "status": "cancelled", "version": recorded.version}
        for item in fact.released:
            batch.patch(TABLE, key={"instalment_id": item.instalment_id}, set=changes)


def _open_after(recorded: Recorded, fact: InstalmentSettled | SettlementReversed) -> dict[str, Any]:
    return {
        "open_minor": fact.open_after.minor,
        "status": "settled" if fact.open_after.is_zero else "open",
        "version": recorded.version,
    }
