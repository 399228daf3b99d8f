"""Posting into the books, as every process does it: the period must be open, the entry balanced.

The chart and the periods are read like any stream, so an entry cannot slip into a month that is being
closed, nor onto an account that is being archived.
"""

from datetime import date
from uuid import UUID, uuid5

from write_model.ledger.accounting_periods import PERIODS, AccountingPeriods
from write_model.ledger.chart_of_accounts import CHART, ChartOfAccounts
from write_model.ledger.events import EntryLine, JournalEntryReversed, Side
from write_model.ledger.journal_entry import EntryAlreadyReversed, JournalEntry, mirrored, post
from write_model.message import RuleBroken, Streams
from write_model.values.identifiers import BankAccountId, JournalEntryId, PartyId
from write_model.values.money import Money


class Draft:
    """The lines of an entry while it is being written; amounts of zero leave no line."""

    __slots__ = ("_chart", "lines")

    def __init__(self, chart: ChartOfAccounts) -> None:
        self._chart = chart
        self.lines: list[EntryLine] = []

    def debit(
        self, account: str, amount: Money, *, party: PartyId | None = None, bank: BankAccountId | None = None
    ) -> None:
        """Debit an account, named by its role in the posting rules or by its code."""
        self._add("D", account, amount, party, bank)

    def credit(
        self, account: str, amount: Money, *, party: PartyId | None = None, bank: BankAccountId | None = None
    ) -> None:
        """Credit an account, named by its role in the posting rules or by its code."""
        self._add("C", account, amount, party, bank)

    def _add(
        self, side: Side, account: str, amount: Money, party: PartyId | None, bank: BankAccountId | None
    ) -> None:
        if amount.is_zero:
            return
        leaf = self._chart.leaf(self._chart.posting.get(account, account))
        self.lines.append(
            EntryLine(
                account_code=leaf.code,
                account_name=leaf.name,
                side=side,
                amount=amount,
                party_id=party,
                bank_account_id=bank,
            )
        )


async def open_draft(streams: Streams) -> Draft:
    """Begin an entry dated as the command is; refuses with PeriodClosed."""
    periods = await streams.load(AccountingPeriods, PERIODS)
    periods.require_open(streams.context.effective_date)
    return Draft(await streams.load(ChartOfAccounts, CHART))


def entry_id_for(document_id: UUID, rule: str) -> JournalEntryId:
    """One entry per document and rule: posting twice finds the stream taken."""
    return JournalEntryId(uuid5(document_id, f"ledger.entry/{rule}"))


async def post_draft(
    streams: Streams, draft: Draft, *, rule: str, document_kind: str, document_id: UUID, memo: str
) -> None:
    """Post what a document means for the books; nothing when it has no amounts."""
    if not draft.lines:
        return
    entry_id = entry_id_for(document_id, rule)
    await streams.load(JournalEntry, entry_id)
    streams.record(
        JournalEntry,
        entry_id,
        post(
            entry_id=entry_id,
            rule=rule,
            document_kind=document_kind,
            document_id=document_id,
            memo=memo,
            lines=draft.lines,
        ),
    )


class ReversalTooEarly(RuleBroken):
    """Nothing is undone before the day on which it happened."""

    pt = "Nada é desfeito antes do dia em que aconteceu"


def require_not_before(streams: Streams, happened_on: date) -> None:
    """Refuse with ReversalTooEarly when the command is dated before what it undoes."""
    if streams.context.effective_date < happened_on:
        raise ReversalTooEarly(first_day=happened_on)


async def reverse_entry(streams: Streams, entry_id: JournalEntryId, *, rule: str, memo: str) -> None:
    """Undo an entry by its mirror, dated as the command is; nothing when it was never posted.

    Refuses with PeriodClosed or EntryAlreadyReversed. Both entries point at each other.
    """
    periods = await streams.load(AccountingPeriods, PERIODS)
    periods.require_open(streams.context.effective_date)
    entry = await streams.load(JournalEntry, entry_id)
    if entry.posted is None:
        return
    if entry.reversed_by is not None:
        raise EntryAlreadyReversed
    reversal_id = entry_id_for(entry_id, rule)
    await streams.load(JournalEntry, reversal_id)
    streams.record(
        JournalEntry,
        reversal_id,
        post(
            entry_id=reversal_id,
            rule=rule,
            document_kind=entry.posted.document_kind,
            document_id=entry.posted.document_id,
            memo=memo,
            lines=mirrored(entry.posted.lines),
            reverses=entry_id,
        ),
    )
    streams.record(JournalEntry, entry_id, [JournalEntryReversed(entry_id=entry_id, reversed_by=reversal_id)])
