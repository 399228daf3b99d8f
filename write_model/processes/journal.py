"""Post and reverse a journal entry by hand: chart, period and entry together."""

from dataclasses import dataclass

from write_model.ledger.accounting_periods import PERIODS, AccountingPeriods
from write_model.ledger.chart_of_accounts import CHART, ChartOfAccounts
from write_model.ledger.events import EntryLine, Side
from write_model.ledger.journal_entry import (
    LINES_MAX,
    EntryBelongsToDocument,
    EntryIsReversal,
    JournalEntry,
    post,
)
from write_model.message import Command, Invalid, Streams, command
from write_model.processes.books import reverse_entry
from write_model.values.identifiers import JournalEntryId
from write_model.values.limits import Code, Memo
from write_model.values.money import Money

MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedPosting:
    """One line of an entry as an accountant writes it: side `D` or `C`."""

    account_code: Code
    side: Side
    amount: Money
    memo: Memo | None = None


@command(
    "ledger.post_journal_entry",
    on=JournalEntry,
    needs="new",
    route="/ledger/entries",
    permission="ledger.post",
    target="entry_id",
    resource="journal_entry",
    reversed_by="ledger.reverse_journal_entry",
)
class PostJournalEntry(Command):
    """Post a balanced entry on the day of the command."""

    entry_id: JournalEntryId
    memo: Memo
    lines: tuple[RequestedPosting, ...]

    async def decide(self, streams: Streams) -> None:
        """Record JournalEntryPosted; refuse with EntryNotBalanced, AccountUnknown, PeriodClosed."""
        if len(self.lines) > LINES_MAX:
            raise Invalid("too-many-lines", "An entry has at most 1000 lines.", {"field": "lines"})
        periods = await streams.load(AccountingPeriods, PERIODS)
        periods.require_open(streams.context.effective_date)
        chart = await streams.load(ChartOfAccounts, CHART)
        lines = []
        for asked in self.lines:
            leaf = chart.leaf(asked.account_code)
            lines.append(
                EntryLine(
                    account_code=leaf.code,
                    account_name=leaf.name,
                    side=asked.side,
                    amount=asked.amount,
                    memo=asked.memo,
                )
            )
        streams.record(
            JournalEntry,
            self.entry_id,
            post(
                entry_id=self.entry_id,
                rule=MANUAL,
                document_kind="journal_entry",
                document_id=self.entry_id,
                memo=self.memo,
                lines=lines,
            ),
        )


@command(
    "ledger.reverse_journal_entry",
    on=JournalEntry,
    route="/ledger/entries/{entry_id}/reverse",
    permission="ledger.post",
    target="entry_id",
    resource="journal_entry",
    needs_reason=True,
)
class ReverseJournalEntry(Command):
    """Undo an entry that was posted by hand, dated as the command is."""

    entry_id: JournalEntryId

    async def decide(self, streams: Streams) -> None:
        """Record the mirror entry; refuse with EntryAlreadyReversed, EntryBelongsToDocument, PeriodClosed."""
        entry = await streams.existing(JournalEntry, self.entry_id)
        if entry.posted is not None and entry.posted.reverses is not None:
            raise EntryIsReversal
        if entry.posted is not None and entry.posted.rule != MANUAL:
            raise EntryBelongsToDocument
        await reverse_entry(streams, self.entry_id, rule="manual_reversed", memo="Estorno de lançamento")
