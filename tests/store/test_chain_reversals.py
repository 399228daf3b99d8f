"""Reversals of nothing and second reversals are named, though every hash fits; real ones are not accused."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.store.submissions import DAY, appended, companies_of_partition, entry, submission
from write_model.ledger.events import JournalEntryReversed
from write_model.message import Event, stream_id_of
from write_model.settlement.events import InstalmentSettled, SettledAmounts, SettlementReversed
from write_model.store.chain import verify
from write_model.store.sealer import Sealer
from write_model.store.store import Store
from write_model.values.identifiers import (
    BankAccountId,
    InstalmentId,
    JournalEntryId,
    PartyId,
    ReceivableId,
    SettlementId,
)
from write_model.values.money import Money

pytestmark = pytest.mark.asyncio
FIRST, MIRROR, SECOND = (JournalEntryId(UUID(int=4 << 76 | 8 << 60 | number)) for number in (1, 2, 3))
TITLE = UUID(int=4 << 76 | 8 << 60 | 9)
SETTLEMENT = SettlementId(UUID(int=4 << 76 | 8 << 60 | 10))


def posted(entry_id: JournalEntryId, reverses: JournalEntryId | None = None) -> tuple[UUID, Event]:
    return entry_id, replace(entry(), entry_id=entry_id, reverses=reverses)


def undone(entry_id: JournalEntryId, by: JournalEntryId) -> tuple[UUID, Event]:
    return entry_id, JournalEntryReversed(entry_id=entry_id, reversed_by=by)


def _settlement(kind: type[InstalmentSettled] | type[SettlementReversed]) -> tuple[UUID, Event]:
    about = {
        "receivable_id": ReceivableId(TITLE),
        "instalment_id": InstalmentId(TITLE),
        "number": 1,
        "party_id": PartyId(TITLE),
        "settlement_id": SETTLEMENT,
        "bank_account_id": BankAccountId(TITLE),
        "paid_on": DAY,
        "amounts": SettledAmounts(**dict.fromkeys(SettledAmounts.__annotations__, Money(0))),
        "open_after": Money(0),
        "waived": Money(0),
        "fine_carried": Money(0),
        "interest_carried": Money(0),
    }
    return TITLE, kind(**{name: about[name] for name in kind.__annotations__})  # type: ignore[arg-type]


SETTLED, UNSETTLED = _settlement(InstalmentSettled), _settlement(SettlementReversed)
HISTORIES: dict[str, tuple[Sequence[tuple[UUID, Event]], list[tuple[str, int]]]] = {
    "an entry reversed": ([posted(FIRST), posted(MIRROR, FIRST), undone(FIRST, MIRROR)], []),
    "a settlement reversed": ([SETTLED, UNSETTLED], []),
    "a settlement reversed and made again": ([SETTLED, UNSETTLED, SETTLED], []),
    "an entry that never was": ([posted(MIRROR, FIRST)], [("reversal-of-nothing", 1)]),
    "an entry posted only later": (
        [posted(MIRROR, FIRST), posted(FIRST), undone(FIRST, MIRROR)],
        [("reversal-of-nothing", 1)],
    ),
    "marked but never posted": ([undone(FIRST, MIRROR)], [("reversal-of-nothing", 1)]),
    "an entry not marked": ([posted(FIRST), posted(MIRROR, FIRST)], [("reversed-twice", 2)]),
    "an entry twice": (
        [posted(FIRST), posted(MIRROR, FIRST), undone(FIRST, MIRROR), posted(SECOND, FIRST)],
        [("reversed-twice", 4)],
    ),
    "an entry twice, marked twice": (
        [
            posted(FIRST),
            posted(MIRROR, FIRST),
            undone(FIRST, MIRROR),
            posted(SECOND, FIRST),
            undone(FIRST, SECOND),
        ],
        [("reversed-twice", 4), ("reversed-twice", 5)],
    ),
    "a settlement that never was": ([UNSETTLED], [("reversal-of-nothing", 1)]),
    "a settlement twice": ([SETTLED, UNSETTLED, UNSETTLED], [("reversed-twice", 3)]),
}


async def record(store: Store, company: UUID, facts: Sequence[tuple[UUID, Event]]) -> None:
    """These facts behind those that are recorded already."""
    for key, fact in facts:
        kind = "settlement.receivable" if key == TITLE else "ledger.journal_entry"
        stream = stream_id_of(company, kind, key)
        version = (await store.versions(company, [stream]))[stream]
        await appended(store, submission(company, stream, version, fact))


async def test_reversals_point_at_what_was_there(store: Store, database_url: str) -> None:
    """Each history is a company's, all of one partition."""
    companies = companies_of_partition(store, 2, len(HISTORIES))
    wanted, position = [], 0
    for company, (facts, wrong) in zip(companies, HISTORIES.values(), strict=True):
        await record(store, company, facts)
        wanted += [(kind, company, position + number) for kind, number in wrong]
        position += len(facts)
    violations = verify(database_url).violations
    assert [(v.kind, v.company_id, v.position) for v in violations] == wanted
    alone = verify(database_url, company=companies[3]).violations
    assert [(v.kind, v.position) for v in alone] == [
        (kind, at) for kind, of, at in wanted if of == companies[3]
    ]


async def test_what_is_undone_may_lie_before_what_was_signed_last(store: Store, database_url: str) -> None:
    """Verified on from a signed head, wherever in a history that was signed."""
    sealer = Sealer(database_url, Ed25519PrivateKey.generate(), lambda: datetime.now(UTC))
    cases = [(*history, cut) for history in HISTORIES.values() for cut in range(1, len(history[0]) + 1)]
    companies = companies_of_partition(store, 2, len(cases))
    position = 0
    for company, (facts, wrong, cut) in zip(companies, cases, strict=True):
        await record(store, company, facts[:cut])
        await sealer.seal(company)
        await record(store, company, facts[cut:])
        found = verify(database_url, company=company, since_last=True)
        wanted = [(kind, position + number) for kind, number in wrong if number > cut]
        assert [(v.kind, v.position) for v in found.violations] == wanted
        assert found.skipped == cut
        position += len(facts)
