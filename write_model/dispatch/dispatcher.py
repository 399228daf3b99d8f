"""Decides commands and appends what they decided.

A decision reads streams through a Workspace, which remembers each version it saw. The append fails if any
of them moved, also one that was only read; then the stale states are dropped and the command decides
again. A refusal is checked the same way before it is believed, so nobody is refused on old news.
"""

import asyncio
import inspect
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Protocol, cast
from uuid import UUID
from weakref import WeakValueDictionary

from write_model.companies.company import Company, CompanyIsSuspended, ReinstateCompany
from write_model.dispatch.outcome import (
    CommandError,
    Contended,
    KeyReused,
    NotAttempted,
    Receipt,
    ReceiptEvent,
    Refused,
    VersionMismatch,
    answer_of,
    as_recorded,
    as_replayed,
    plain,
    receipt_of,
)
from write_model.dispatch.scout import scout
from write_model.dispatch.workspace import StateCache, Workspace
from write_model.message import (
    Command,
    Context,
    Duplicate,
    Invalid,
    NotFound,
    Refusal,
    sentence,
    stream_id_of,
)
from write_model.store.append import Appended, CommandRecord, Decided, KeysTaken, NewEvent, Submission
from write_model.store.store import Store

ATTEMPTS_MAX = 12
BACKOFF_SECONDS = 0.004
"""Longer than a commit takes, so that a loser of a race usually finds the winner's events stored."""

Item = tuple[Command, Context]
Outcome = Receipt | Refused


class Ids(Protocol):
    """Where new ids come from."""

    def new(self) -> UUID:
        """A time-ordered id."""
        ...


class AlreadyExists(Duplicate):
    """There is already a record with this id."""

    pt = "Já existe um registro com este id"


class Dispatcher:
    """The one path of every write. Safe for concurrent use within one event loop."""

    def __init__(self, store: Store, ids: Ids, cache: StateCache | None = None) -> None:
        self._store = store
        self._ids = ids
        self._cache = cache or StateCache()
        # Commands on one stream take turns in a process, so that they need not conflict in the store.
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    def forget(self) -> None:
        """Drop every state that was folded: the store has been restored.

        Versions alone would not tell: a stream may have reached the same one again, with other events.
        """
        self._cache.clear()

    async def execute(self, command: Command, context: Context) -> Receipt:
        """Decide one command and store what it decided.

        Raises Refusal, Invalid, KeyReused, VersionMismatch, Contended; StoreBusy comes from the store.
        """
        stream = stream_id_of(context.company_id, command.meta.on.kind, command.stream_key())
        turn = self._turns.get(stream)
        if turn is None:
            turn = self._turns[stream] = asyncio.Lock()
        async with turn:
            (outcome,) = await self._settle([(command, context)], atomic=False)
        if isinstance(outcome, Refused):
            raise outcome.error
        return outcome

    async def execute_batch(self, items: Sequence[Item], *, atomic: bool) -> list[Outcome]:
        """Decide commands of one company and actor in order, each seeing what those before it did.

        Independent commands each get their own outcome; of an atomic batch all are stored, or none.
        """
        try:
            return await self._settle(items, atomic=atomic)
        except Contended:
            if atomic:
                return [Refused(Contended()) for _ in items]
        return [await self._alone(command, context) for command, context in items]

    async def rehearse(self, command: Command, context: Context) -> Receipt:
        """Decide one command exactly as `execute` would, and store nothing, not even a refusal."""
        for _ in range(ATTEMPTS_MAX):
            workspace = self._workspace(context.company_id)
            try:
                receipt, _ = await self._decide(workspace, command, _dated(command, context))
            except (Refusal, Invalid, VersionMismatch):
                if not await workspace.outdated():
                    raise
            else:
                return replace(receipt, dry_run=True)
        raise Contended

    async def _alone(self, command: Command, context: Context) -> Outcome:
        try:
            return await self.execute(command, context)
        except (Refusal, Invalid, CommandError) as error:
            return Refused(error)

    async def _settle(self, items: Sequence[Item], *, atomic: bool) -> list[Outcome]:
        company_id, actor_id = items[0][1].company_id, items[0][1].actor.id
        keys = [context.idempotency_key for _, context in items]
        # A lone command is looked up only when it does not go through: the common path is one round trip.
        known = await self._store.command_records(company_id, actor_id, keys) if len(items) > 1 else {}
        for attempt in range(ATTEMPTS_MAX):
            workspace = self._workspace(company_id)
            if len(items) > 1:
                await scout(workspace, [item for item in items if item[1].idempotency_key not in known])
            outcomes, decided = await self._decide_all(workspace, items, known, atomic=atomic)
            refused = any(isinstance(outcome, Refused) for outcome in outcomes)
            if refused:
                taken = await self._store.command_records(company_id, actor_id, keys)
                if taken.keys() - known.keys():
                    known = taken
                    continue
                if await workspace.outdated():
                    await self._back_off(attempt)
                    continue
            if not decided:
                return await self._noted(items, outcomes)
            verdict = await self._store.append(
                Submission(
                    company_id=company_id, commands=tuple(decided), expectations=workspace.expectations
                )
            )
            if isinstance(verdict, Appended):
                workspace.keep()
                stored = {record.command_id: record for record in verdict.records}
                return await self._noted(items, [_placed(outcome, stored) for outcome in outcomes])
            if isinstance(verdict, KeysTaken):
                known = {**known, **verdict.records}
                continue
            workspace.outdate(verdict.streams)
            await self._back_off(attempt)
        raise Contended

    async def _decide_all(
        self, workspace: Workspace, items: Sequence[Item], known: dict[str, CommandRecord], *, atomic: bool
    ) -> tuple[list[Outcome], list[Decided]]:
        """Decide every command that has no stored answer yet."""
        outcomes: list[Outcome] = []
        decided: list[Decided] = []
        here: dict[str, tuple[bytes, Outcome]] = {}
        for command, given in items:
            context = _dated(command, given)
            key = context.idempotency_key
            outcome: Outcome
            if key in known:
                outcome = _known(known[key], context)
            elif key in here:
                body_hash, first = here[key]
                same = body_hash == context.body_hash and isinstance(first, Receipt)
                outcome = as_replayed(cast("Receipt", first)) if same else Refused(KeyReused())
            else:
                try:
                    outcome, work = await self._decide(workspace, command, context)
                    decided.append(work)
                except (Refusal, Invalid, VersionMismatch) as error:
                    workspace.abandon()
                    outcome = Refused(error)
                here[key] = (context.body_hash, outcome)
            outcomes.append(outcome)
        if atomic and any(isinstance(outcome, Refused) for outcome in outcomes):
            return [o if isinstance(o, Refused) else Refused(NotAttempted()) for o in outcomes], []
        return outcomes, decided

    async def _decide(
        self, workspace: Workspace, command: Command, context: Context
    ) -> tuple[Receipt, Decided]:
        """Run one decision; raises Refusal, Invalid, VersionMismatch, and leaves no trace then."""
        meta, key = command.meta, command.stream_key()
        workspace.begin(context)
        company = await workspace.load(Company, context.company_id)
        if company.status == "suspended" and not isinstance(command, ReinstateCompany):
            raise CompanyIsSuspended
        state = await workspace.load(meta.on, key)
        before = workspace.version_of(meta.on, key)
        if context.expected_version is not None and context.expected_version != before:
            raise VersionMismatch(context.expected_version, before)
        if meta.needs == "existing" and before == 0:
            raise NotFound(resource=meta.resource)
        if meta.needs == "new" and before > 0:
            raise AlreadyExists(resource=meta.resource)
        decide = command.decide  # type: ignore[attr-defined]
        if inspect.iscoroutinefunction(decide):
            await decide(workspace)
        else:
            workspace.record(meta.on, key, decide(state))
        after = await workspace.load(meta.on, key)
        version = workspace.version_of(meta.on, key)
        events = workspace.finish()
        receipt = self._receipt(
            command, context, events, version, before == 0 and version > 0, after.summary_of(_target(command))
        )
        work = Decided(context=context, topic=meta.topic, events=events, answer=answer_of(receipt))
        return receipt, work

    def _receipt(
        self,
        command: Command,
        context: Context,
        events: Sequence[NewEvent],
        version: int,
        created: bool,
        state: object,
    ) -> Receipt:
        return Receipt(
            command_id=context.command_id,
            topic=command.meta.topic,
            resource=command.meta.resource,
            target=_target(command),
            version=version,
            created=created,
            events=tuple(
                ReceiptEvent(
                    event_id=new.event_id,
                    topic=new.event.topic,
                    schema_version=new.event.schema_version,
                    sentence=sentence(new.event, context.language),
                    position=None,
                )
                for new in events
            ),
            state=cast("dict[str, object]", plain(state)),
            partition=self._store.partition_of(context.company_id),
            first_position=None,
            last_position=None,
        )

    async def _noted(self, items: Sequence[Item], outcomes: list[Outcome]) -> list[Outcome]:
        """Record the refusals: auditors ask about attempts too."""
        for (command, context), outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, Refused):
                code, params = _reason(outcome.error)
                await self._store.record_refusal(
                    context,
                    topic=command.meta.topic,
                    target=str(_target(command)),
                    code=code,
                    params=params,
                )
        return outcomes

    @staticmethod
    async def _back_off(attempt: int) -> None:
        # Jitter, not secrecy: two losers of one race should not meet again.
        await asyncio.sleep(random.uniform(0.2, 1) * BACKOFF_SECONDS * (attempt + 1))  # noqa: S311

    def _workspace(self, company_id: UUID) -> Workspace:
        return Workspace(self._store, self._cache, company_id, self._ids.new)


def _dated(command: Command, context: Context) -> Context:
    """The envelope on the day the command names, when it names one."""
    if command.meta.dated_by is None:
        return context
    day: date | None = getattr(command, command.meta.dated_by)
    return context if day is None else replace(context, effective_date=day)


def _target(command: Command) -> UUID | str:
    target = getattr(command, command.meta.target)
    return target if isinstance(target, UUID) else str(target)


def _known(record: CommandRecord, context: Context) -> Outcome:
    """The stored answer of a key, or the refusal to use it for something else."""
    if record.body_hash != context.body_hash:
        return Refused(KeyReused())
    return receipt_of(record, replayed=True)


def _placed(outcome: Outcome, stored: dict[UUID, CommandRecord]) -> Outcome:
    """The receipt with the positions that the append gave its events."""
    if isinstance(outcome, Refused) or outcome.first_position is not None:
        return outcome
    record = stored.get(outcome.command_id)
    return outcome if record is None else as_recorded(outcome, record)


def _reason(error: Exception) -> tuple[str, dict[str, str]]:
    match error:
        case Refusal():
            return error.code, error.params
        case Invalid():
            return error.code, dict(error.params or {})
        case VersionMismatch():
            return "version-conflict", {"expected": str(error.expected), "current": str(error.current)}
        case KeyReused():
            return "idempotency-key-reused", {}
        case _:
            return "not-attempted", {}
