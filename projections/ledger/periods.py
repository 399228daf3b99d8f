"""Folds the closing of months, and the entries in each, into the calendar of the books."""

from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.ledger.periods import TABLE
from write_model.ledger.events import JournalEntryPosted, PeriodClosed, PeriodReopened
from write_model.message import Recorded


class LedgerPeriods(SqlProjection):
    """One row per month."""

    name = "ledger_periods"
    version = 1
    tables = (TABLE,)

    @on(JournalEntryPosted)
    def posted(self, batch: Batch, recorded: Recorded, fact: JournalEntryPosted) -> None:
        batch.add(TABLE, key={"period": f"{recorded.effective_date:%Y-%m}"}, add={"entries": 1})

    @on(PeriodClosed, PeriodReopened)
    def closed_or_reopened(
        self, batch: Batch, recorded: Recorded, fact: PeriodClosed | PeriodReopened
    ) -> None:
        changes = {
            "closed": isinstance(fact, PeriodClosed),
            "changed_at": recorded.recorded_at,
            "changed_on": recorded.effective_date,
            "changed_by": recorded.actor_id,
            "reason": recorded.reason,
            "event_id": recorded.event_id,
        }
        batch.add(TABLE, key={"period": fact.period}, add={"entries": 0}, set=changes)
