"""Folds journal entries into the list of them, linked both ways with what reversed them."""

from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.ledger.entries import TABLE
from write_model.ledger.events import JournalEntryPosted, JournalEntryReversed
from write_model.message import Recorded


class LedgerEntries(SqlProjection):
    """One row per entry."""

    name = "ledger_entries"
    version = 1
    klass = "ledger"
    tables = (TABLE,)

    @on(JournalEntryPosted)
    def posted(self, batch: Batch, recorded: Recorded, fact: JournalEntryPosted) -> None:
        batch.put(
            TABLE,
            {
                "entry_id": fact.entry_id,
                "rule": fact.rule,
                "rule_version": fact.rule_version,
                "document_kind": fact.document_kind,
                "document_id": fact.document_id,
                "memo": fact.memo,
                "total_minor": sum(line.amount.minor for line in fact.lines if line.side == "D"),
                "currency": fact.lines[0].amount.currency,
                "effective_date": recorded.effective_date,
                "position": recorded.position,
                "recorded_at": recorded.recorded_at,
                "event_id": recorded.event_id,
                "command_id": recorded.command_id,
                "actor_kind": recorded.actor_kind,
                "actor_id": recorded.actor_id,
                "on_behalf_of": recorded.on_behalf_of,
                "reason": recorded.reason,
                "reverses": fact.reverses,
                "version": recorded.version,
            },
        )

    @on(JournalEntryReversed)
    def reversed(self, batch: Batch, recorded: Recorded, fact: JournalEntryReversed) -> None:
        changes = {"reversed_by": fact.reversed_by, "version": recorded.version}
        batch.patch(TABLE, key={"entry_id": fact.entry_id}, set=changes)
