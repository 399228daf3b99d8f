"""Folds the facts about titles into the list of them."""

from collections.abc import Sequence

from projections.batch import Batch
from projections.projector import Reader, SqlProjection, on
from read_model.settlement.receivables import TABLE
from write_model.message import Recorded
from write_model.settlement.events import (
    InstalmentSettled,
    ReceivableCancelled,
    ReceivableCreated,
    SettlementReversed,
)


class SettlementReceivables(SqlProjection):
    """One row per title."""

    name = "settlement_receivables"
    version = 1
    tables = (TABLE,)

    async def prepare(self, reader: Reader, page: Sequence[Recorded]) -> None:
        """The titles that were paid on this page."""
        titles = {
            (recorded.company_id, recorded.event.receivable_id)
            for recorded in page
            if isinstance(recorded.event, InstalmentSettled | SettlementReversed)
        }
        keys = [{"company_id": company, "receivable_id": title} for company, title in titles]
        await reader.load(TABLE, keys)

    @on(ReceivableCreated)
    def created(self, batch: Batch, recorded: Recorded, fact: ReceivableCreated) -> None:
        batch.put(
            TABLE,
            {
                "receivable_id": fact.receivable_id,
                "party_id": fact.party_id,
                "document_kind": fact.document_kind,
                "document_id": fact.document_id,
                "created_on": recorded.effective_date,
                "total_minor": fact.total.minor,
                "open_minor": fact.total.minor,
                "currency": fact.total.currency,
                "instalment_count": len(fact.instalments),
                "fine_pct": fact.late_terms.fine_pct,
                "interest_pct_month": fact.late_terms.interest_pct_month,
                "day_basis": fact.late_terms.day_basis,
                "grace_days": fact.late_terms.grace_days,
                "rounding": fact.late_terms.rounding,
                "version": recorded.version,
            },
        )

    @on(InstalmentSettled)
    def settled(self, batch: Batch, recorded: Recorded, fact: InstalmentSettled) -> None:
        self._pay(batch, recorded, fact, -fact.amounts.principal.minor)

    @on(SettlementReversed)
    def reversed(self, batch: Batch, recorded: Recorded, fact: SettlementReversed) -> None:
        self._pay(batch, recorded, fact, fact.amounts.principal.minor)

    @on(ReceivableCancelled)
    def cancelled(self, batch: Batch, recorded: Recorded, fact: ReceivableCancelled) -> None:
        changes = {
            "open_minor": 0,
            "cancelled_on": recorded.effective_date,
            "version": recorded.version,
        }
        batch.patch(TABLE, key={"receivable_id": fact.receivable_id}, set=changes)

    def _pay(
        self, batch: Batch, recorded: Recorded, fact: InstalmentSettled | SettlementReversed, minor: int
    ) -> None:
        key = {"receivable_id": fact.receivable_id}
        title = batch.row(TABLE, key)
        if title is None:
            raise LookupError(f"a payment for receivable {fact.receivable_id}, which was never created")
        changes = {"open_minor": title["open_minor"] + minor, "version": recorded.version}
        batch.patch(TABLE, key=key, set=changes)
