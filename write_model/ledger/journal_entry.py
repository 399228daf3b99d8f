"""A journal entry: balanced when it is made, reversed at most once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, assert_never
from uuid import UUID

from write_model.ledger.events import EntryLine, JournalEntryPosted, JournalEntryReversed
from write_model.message import Event, RuleBroken, State, StateConflict
from write_model.values.identifiers import JournalEntryId
from write_model.values.limits import require_positive
from write_model.values.money import Money

Facts = JournalEntryPosted | JournalEntryReversed

LINES_MAX = 1_000


class JournalEntry(State):
    """The entry, and whether it was undone."""

    __slots__ = ("posted", "reversed_by")
    kind: ClassVar[str] = "ledger.journal_entry"

    def __init__(self) -> None:
        self.posted: JournalEntryPosted | None = None
        self.reversed_by: JournalEntryId | None = None

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case JournalEntryPosted():
                self.posted = fact
            case JournalEntryReversed():
                self.reversed_by = fact.reversed_by
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """Posted or reversed."""
        return {"status": "posted" if self.reversed_by is None else "reversed"}


class EntryNotBalanced(RuleBroken):
    """The debits of an entry must equal its credits, currency by currency."""

    pt = "Os débitos de um lançamento devem ser iguais aos créditos"


class EntryTooSmall(RuleBroken):
    """An entry needs a debit and a credit."""

    pt = "Um lançamento precisa de um débito e de um crédito"


class EntryAlreadyReversed(StateConflict):
    """This entry was already reversed."""

    pt = "Este lançamento já foi estornado"


class EntryIsReversal(StateConflict):
    """This entry is itself a reversal."""

    pt = "Este lançamento é um estorno"


class EntryBelongsToDocument(StateConflict):
    """This entry was posted by a document; reverse the document."""

    pt = "Este lançamento pertence a um documento; estorne o documento"


def post(
    *,
    entry_id: JournalEntryId,
    rule: str,
    document_kind: str,
    document_id: UUID,
    memo: str,
    lines: Sequence[EntryLine],
    rule_version: int = 1,
    reverses: JournalEntryId | None = None,
) -> Iterator[Event]:
    """Yield JournalEntryPosted; anything but a balanced entry is refused."""
    require_balanced(lines)
    yield JournalEntryPosted(
        entry_id=entry_id,
        rule=rule,
        rule_version=rule_version,
        document_kind=document_kind,
        document_id=document_id,
        memo=memo,
        reverses=reverses,
        lines=tuple(lines),
    )


def require_balanced(lines: Sequence[EntryLine]) -> None:
    """At least one debit and one credit, all positive, equal sums in each currency."""
    if len({line.side for line in lines}) != len(("D", "C")):
        raise EntryTooSmall
    sums: dict[str, int] = {}
    for number, line in enumerate(lines):
        require_positive(line.amount, f"lines/{number}/amount")
        signed = line.amount.minor if line.side == "D" else -line.amount.minor
        sums[line.amount.currency] = sums.get(line.amount.currency, 0) + signed
    for currency, difference in sums.items():
        if difference:
            raise EntryNotBalanced(difference=Money(difference, currency))


def mirrored(lines: Sequence[EntryLine]) -> tuple[EntryLine, ...]:
    """The lines with debit and credit exchanged: what undoes them."""
    return tuple(
        EntryLine(
            account_code=line.account_code,
            account_name=line.account_name,
            side="C" if line.side == "D" else "D",
            amount=line.amount,
            party_id=line.party_id,
            bank_account_id=line.bank_account_id,
            memo=line.memo,
        )
        for line in lines
    )
