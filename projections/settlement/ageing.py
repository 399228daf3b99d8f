"""Folds every change of what customers owe into rows that can be summed along both axes of time."""

from uuid import UUID

from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.settlement.ageing import TABLE
from write_model.message import Recorded
from write_model.settlement.events import (
    InstalmentSettled,
    ReceivableCancelled,
    ReceivableCreated,
    SettlementReversed,
)


class SettlementAgeing(SqlProjection):
    """One row per instalment and event that changed what is open of it."""

    name = "settlement_ageing"
    version = 1
    klass = "ledger"
    tables = (TABLE,)

    @on(ReceivableCreated)
    def created(self, batch: Batch, recorded: Recorded, fact: ReceivableCreated) -> None:
        for item in fact.instalments:
            row = _change(recorded, item.instalment_id, fact.party_id, item.amount.minor)
            batch.put(TABLE, {**row, "currency": item.amount.currency, "due_date": item.due_date})

    @on(InstalmentSettled)
    def settled(self, batch: Batch, recorded: Recorded, fact: InstalmentSettled) -> None:
        principal = fact.amounts.principal
        row = _change(recorded, fact.instalment_id, fact.party_id, -principal.minor)
        batch.put(TABLE, {**row, "currency": principal.currency})

    @on(SettlementReversed)
    def reversed(self, batch: Batch, recorded: Recorded, fact: SettlementReversed) -> None:
        principal = fact.amounts.principal
        row = _change(recorded, fact.instalment_id, fact.party_id, principal.minor)
        batch.put(TABLE, {**row, "currency": principal.currency})

    @on(ReceivableCancelled)
    def cancelled(self, batch: Batch, recorded: Recorded, fact: ReceivableCancelled) -> None:
        for item in fact.released:
            row = _change(recorded, item.instalment_id, fact.party_id, -item.amount.minor)
            batch.put(TABLE, {**row, "currency": item.amount.currency})


def _change(recorded: Recorded, instalment_id: UUID, party_id: UUID, delta_minor: int) -> dict[str, object]:
    return {
        "instalment_id": instalment_id,
        "position": recorded.position,
        "party_id": party_id,
        "effective_date": recorded.effective_date,
        "recorded_at": recorded.recorded_at,
        "open_delta_minor": delta_minor,
        "event_id": recorded.event_id,
    }
