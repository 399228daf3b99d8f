"""Given, when, then: the one grammar of decision tests, over the real dispatcher and a store in memory.

company.given(DraftSale(…), ConfirmSale(…))
company.when(CancelSale(…), reason="…")
company.then(SaleCancelled, JournalEntryPosted)      or      company.refused(SaleAlreadyCancelled)
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TypeVar, cast
from uuid import UUID, uuid4, uuid5

from write_model.companies.company import RegisterCompany
from write_model.dispatch import Dispatcher, Receipt
from write_model.ledger.chart_of_accounts import AdoptChart
from write_model.ledger.events import JournalEntryPosted
from write_model.message import Actor, Command, Context, Event, Recorded, State, stream_id_of
from write_model.store.append import (
    Appended,
    CommandRecord,
    Conflicted,
    KeysTaken,
    Submission,
    Verdict,
    check,
)
from write_model.store.store import Store
from write_model.values.identifiers import CompanyId
from write_model.values.money import Money

E = TypeVar("E", bound=Event)
S = TypeVar("S", bound=State)


class MemoryStore:
    """The store's promises for one company, without a database: expectations, keys, dense positions."""

    def __init__(self) -> None:
        self.log: list[Recorded] = []
        self.records: dict[tuple[UUID, str], CommandRecord] = {}
        self.refusals: list[tuple[str, str]] = []

    def partition_of(self, company_id: UUID) -> int:
        return 0

    async def append(self, submission: Submission) -> Verdict:
        check(submission)
        taken = {
            d.context.idempotency_key: self.records[key]
            for d in submission.commands
            if (key := (d.context.actor.id, d.context.idempotency_key)) in self.records
        }
        if taken:
            return KeysTaken(taken)
        now = await self.versions(submission.company_id, list(submission.expectations))
        moved = {s for s, version in submission.expectations.items() if now.get(s, 0) != version}
        if moved:
            return Conflicted(frozenset(moved))
        records = []
        for decided in submission.commands:
            first = len(self.log) + 1
            context = decided.context
            for new in decided.events:
                self.log.append(recorded(new.event, context, new.stream_id, new.version, len(self.log) + 1))
            record = CommandRecord(
                command_id=context.command_id,
                company_id=context.company_id,
                actor_id=context.actor.id,
                idempotency_key=context.idempotency_key,
                body_hash=context.body_hash,
                topic=decided.topic,
                answer=decided.answer,
                partition=0,
                first_position=first if decided.events else None,
                last_position=len(self.log) if decided.events else None,
                recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
            )
            self.records[context.actor.id, context.idempotency_key] = record
            records.append(record)
        return Appended(tuple(records))

    async def read_streams(self, company_id: UUID, streams: Sequence[UUID]) -> dict[UUID, list[Recorded]]:
        return await self.read_on(company_id, dict.fromkeys(streams, 0))

    async def read_snapshots(
        self, company_id: UUID, kinds: Mapping[UUID, type[State]]
    ) -> dict[UUID, tuple[int, State]]:
        return {}

    def keep_snapshot(self, company_id: UUID, stream: UUID, version: int, state: State) -> None:
        """Loading from events alone is what scenarios are about."""

    async def read_on(self, company_id: UUID, after: Mapping[UUID, int]) -> dict[UUID, list[Recorded]]:
        await asyncio.sleep(0)
        return {s: [r for r in self.log if r.stream_id == s and r.version > v] for s, v in after.items()}

    async def versions(self, company_id: UUID, streams: Sequence[UUID]) -> dict[UUID, int]:
        return {s: sum(r.stream_id == s for r in self.log) for s in streams}

    async def command_records(
        self, company_id: UUID, actor_id: UUID, keys: Sequence[str]
    ) -> dict[str, CommandRecord]:
        return {key: self.records[actor_id, key] for key in keys if (actor_id, key) in self.records}

    async def record_refusal(
        self, context: Context, *, topic: str, target: str | None, code: str, params: Mapping[str, str]
    ) -> None:
        self.refusals.append((topic, code))

    def fingerprint(self, company_id: UUID, text: str) -> str:
        return hashlib.sha256(f"{company_id}|{text}".encode()).hexdigest()

    def webhook_secret(self, company_id: UUID, webhook_id: UUID, secret_id: UUID) -> bytes:
        return hashlib.sha256(f"{company_id}|{webhook_id}|{secret_id}".encode()).digest()


def recorded(event: Event, context: Context, stream: UUID, version: int, position: int) -> Recorded:
    """An event as the store would give it back."""
    return Recorded(
        partition=0,
        position=position,
        company_id=context.company_id,
        stream_id=stream,
        version=version,
        topic=event.topic,
        schema_version=event.schema_version,
        event_id=uuid4(),
        effective_date=context.effective_date,
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        actor_kind=context.actor.kind,
        actor_id=context.actor.id,
        on_behalf_of=None,
        command_id=context.command_id,
        correlation_id=context.correlation_id,
        causation_id=None,
        channel=context.channel,
        reason=context.reason,
        event=event,
    )


class RandomIds:
    """Ids for tests."""

    def new(self) -> UUID:
        return uuid4()


class Company:
    """A company with its books open, to which commands are given."""

    def __init__(self, *, today: date = date(2026, 11, 23)) -> None:
        self.id = CompanyId(uuid4())
        self.today = today
        self.store = MemoryStore()
        self.dispatcher = Dispatcher(cast("Store", self.store), RandomIds())
        self.actor = Actor("user", uuid4())
        self.new: list[Event] = []
        self.error: Exception | None = None
        self.receipt: Receipt | None = None
        self.given(RegisterCompany(company_id=self.id, legal_name="Loja Exemplo"), AdoptChart())

    def context(self, *, on: date | None = None, **envelope: object) -> Context:
        """An envelope; every command gets a key of its own unless one is given."""
        key = str(envelope.pop("idempotency_key", uuid4()))
        body = bytes(cast("bytes", envelope.pop("body_hash", key.encode())))
        return Context(
            company_id=self.id,
            actor=self.actor,
            command_id=uuid4(),
            correlation_id=uuid4(),
            idempotency_key=key,
            body_hash=body,
            effective_date=on or self.today,
            today=self.today,
            **envelope,  # type: ignore[arg-type]
        )

    def given(self, *commands: Command, on: date | None = None, reason: str = "teste") -> None:
        """Commands that must be accepted."""
        for command in commands:
            asyncio.run(self.dispatcher.execute(command, self.context(on=on, reason=reason)))

    def when(self, command: Command, *, on: date | None = None, **envelope: object) -> None:
        """The command under test; look at it with `then` or `refused`."""
        before = len(self.store.log)
        self.error = self.receipt = None
        try:
            self.receipt = asyncio.run(self.dispatcher.execute(command, self.context(on=on, **envelope)))
        except Exception as error:  # noqa: BLE001 - `then` raises what was not expected
            self.error = error
        self.new = [r.event for r in self.store.log[before:]]

    def then(self, *expected: type[Event]) -> None:
        """Exactly these events were recorded, in any order of streams."""
        if self.error is not None:
            raise self.error
        assert sorted(e.topic for e in self.new) == sorted(e.topic for e in expected)

    def refused(self, expected: type[Exception], **params: str) -> None:
        """The command was refused with this, and nothing happened."""
        assert isinstance(self.error, expected), self.error or f"accepted: {self.new}"
        found = getattr(self.error, "params", {})
        assert {name: found.get(name) for name in params} == params
        assert self.new == []

    def event(self, kind: type[E]) -> E:
        """The one new event of this type."""
        (found,) = [e for e in self.new if isinstance(e, kind)]
        return found

    def state(self, kind: type[S], key: UUID | str) -> S:
        """A stream as it stands now."""
        state = kind()
        for item in self.store.log:
            if item.stream_id == stream_id_of(self.id, kind.kind, key):
                state.apply(item.event)
        return state

    def balances(self) -> dict[str, int]:
        """Debits minus credits of each account, in centavos; the ledger balances at every prefix."""
        sums: dict[str, int] = {}
        for item in self.store.log:
            if not isinstance(item.event, JournalEntryPosted):
                continue
            for line in item.event.lines:
                signed = line.amount.minor if line.side == "D" else -line.amount.minor
                sums[line.account_code] = sums.get(line.account_code, 0) + signed
            assert sum(sums.values()) == 0
        return {code: amount for code, amount in sums.items() if amount}


def brl(text: str) -> Money:
    """`brl("10.00")`."""
    return Money.parse(text)


def an_id(name: str) -> UUID:
    """An id a test can name."""
    return uuid5(UUID(int=0), name)
