"""Submissions as short as a test wants to write them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID, uuid4

from write_model.claims.events import Claimed
from write_model.ledger.events import EntryLine, JournalEntryPosted
from write_model.message import Actor, Context, Event, Personal
from write_model.parties.events import PartyRegistered
from write_model.store.append import Appended, CommandRecord, Decided, NewEvent, Submission
from write_model.store.store import Store
from write_model.values.identifiers import JournalEntryId, PartyId
from write_model.values.money import Money

CLERK = UUID("00000000-0000-4000-8000-00000000000a")
DAY = date(2026, 11, 23)


def context(company_id: UUID, key: str | None = None, body: bytes = b"body") -> Context:
    return Context(
        company_id=company_id,
        actor=Actor("user", CLERK),
        command_id=uuid4(),
        correlation_id=uuid4(),
        idempotency_key=key or str(uuid4()),
        body_hash=body,
        effective_date=DAY,
        today=DAY,
    )


def claimed(subject: str = "tax-number") -> Claimed:
    return Claimed(subject=subject, holder=uuid4())


def party(subject: UUID, name: str = "Pessoa de Teste") -> PartyRegistered:
    return PartyRegistered(
        party_id=PartyId(subject),
        roles=("customer",),
        name=Personal(subject, name),
        tax_kind="cpf",
        tax_number=Personal(subject, "52998224725"),
        email=None,
        phone=None,
        address=None,
        city="Recife",
        state="PE",
        external_ref=None,
    )


def entry(debit: int = 1050, credit: int = 1050) -> JournalEntryPosted:
    return JournalEntryPosted(
        entry_id=JournalEntryId(uuid4()),
        rule="test",
        rule_version=1,
        document_kind="sale",
        document_id=uuid4(),
        memo="Venda",
        reverses=None,
        lines=(
            EntryLine(account_code="1.1", account_name="Caixa", side="D", amount=Money(debit)),
            EntryLine(account_code="3.1", account_name="Receita", side="C", amount=Money(credit)),
        ),
    )


def decided(
    about: Context, events: Mapping[UUID, tuple[int, Sequence[Event]]], answer: str = '{"ok":true}'
) -> Decided:
    return Decided(
        context=about,
        topic="claims.claim",
        answer=answer,
        events=tuple(
            NewEvent(stream_id=stream, version=version + number, event_id=uuid4(), event=fact)
            for stream, (version, facts) in events.items()
            for number, fact in enumerate(facts, start=1)
        ),
    )


def submission(
    company_id: UUID,
    stream: UUID | None = None,
    version: int = 0,
    *facts: Event,
    key: str | None = None,
    body: bytes = b"body",
    read: Mapping[UUID, int] | None = None,
) -> Submission:
    """One command that appends to one stream, having also `read` others."""
    stream = stream or uuid4()
    about = context(company_id, key, body)
    return Submission(
        company_id=company_id,
        commands=(decided(about, {stream: (version, facts or (claimed(),))}),),
        expectations={**(read or {}), stream: version},
    )


def again(one: Submission) -> Submission:
    """The same request sent anew: same key and body, another command id."""
    (command,) = one.commands
    return replace(one, commands=(replace(command, context=replace(command.context, command_id=uuid4())),))


async def appended(store: Store, one: Submission) -> tuple[CommandRecord, ...]:
    """Append what must succeed."""
    verdict = await store.append(one)
    assert isinstance(verdict, Appended), verdict
    return verdict.records


def companies_of_partition(store: Store, partition: int, count: int) -> list[UUID]:
    """So many companies that share one partition."""
    found: list[UUID] = []
    while len(found) < count:
        company_id = uuid4()
        if store.partition_of(company_id) == partition:
            found.append(company_id)
    return found
