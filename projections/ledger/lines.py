"""Folds journal entries into their lines: every report on the books is a sum of these."""

from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.ledger.lines import ENTRIES, TABLE
from write_model.ledger.events import JournalEntryPosted
from write_model.message import Recorded


class LedgerLines(SqlProjection):
    """One row per entry, and one per line of it."""

    name = "ledger_lines"
    version = 1
    klass = "ledger"
    tables = (TABLE, ENTRIES)

    @on(JournalEntryPosted)
    def posted(self, batch: Batch, recorded: Recorded, fact: JournalEntryPosted) -> None:
        batch.put(
            ENTRIES,
            {
                "position": recorded.position,
                "entry_id": fact.entry_id,
                "rule": fact.rule,
                "rule_version": fact.rule_version,
                "document_kind": fact.document_kind,
                "document_id": fact.document_id,
                "memo": fact.memo,
                "total_minor": sum(line.amount.minor for line in fact.lines if line.side == "D"),
                "currency": fact.lines[0].amount.currency,
                "effective_date": recorded.effective_date,
                "recorded_at": recorded.recorded_at,
                "event_id": recorded.event_id,
                "command_id": recorded.command_id,
                "actor_kind": recorded.actor_kind,
                "actor_id": recorded.actor_id,
                "on_behalf_of": recorded.on_behalf_of,
                "reason": recorded.reason,
                "reverses": fact.reverses,
            },
        )
        for number, line in enumerate(fact.lines, start=1):
            batch.put(
                TABLE,
                {
                    "position": recorded.position,
                    "line": number,
                    "account_code": line.account_code,
                    "account_name": line.account_name,
                    "side": line.side,
                    "amount_minor": line.amount.minor,
                    "currency": line.amount.currency,
                    "effective_date": recorded.effective_date,
                    "recorded_at": recorded.recorded_at,
                    "party_id": line.party_id,
                    "bank_account_id": line.bank_account_id,
                    "memo": line.memo,
                },
            )
