"""What is handed to the store, what it answers, and why it may not answer.

A `Submission` is all or nothing; its verdict is one of three:

    Appended    recorded, now or by an earlier attempt of this very submission
    KeysTaken   an idempotency key was used before: here is what was recorded then
    Conflicted  a stream that was read has moved: load again and decide again
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from write_model.message import Context, Event


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event that is to be recorded, as version `version` of its stream."""

    stream_id: UUID
    version: int
    event_id: UUID
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A command that was accepted: the events it decided on and its answer, JSON without personal data."""

    context: Context
    topic: str
    events: tuple[NewEvent, ...]
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Commands of one company that are recorded together or not at all.

    `expectations` holds the version of every stream the decisions rest on, 0 for one that was empty.
    """

    company_id: UUID
    commands: tuple[Decided, ...]
    expectations: Mapping[UUID, int]


class CommandRecord(NamedTuple):
    """A command as it was recorded; the positions are None when it changed nothing.

    A tuple, because one is made for every command.
    """

    command_id: UUID
    company_id: UUID
    actor_id: UUID
    idempotency_key: str
    body_hash: bytes
    topic: str
    answer: str
    partition: int
    first_position: int | None
    last_position: int | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Appended:
    """All commands of the submission are recorded."""

    records: tuple[CommandRecord, ...]


@dataclass(frozen=True, slots=True)
class KeysTaken:
    """Nothing was recorded: these idempotency keys have been used by these commands."""

    records: Mapping[str, CommandRecord]


@dataclass(frozen=True, slots=True)
class Conflicted:
    """Nothing was recorded: these streams are no longer at the version that was read."""

    streams: frozenset[UUID]


Verdict = Appended | KeysTaken | Conflicted


class StoreError(Exception):
    """The store could not give a verdict."""


class StoreBusy(StoreError):
    """The database has no room or no time for it at this moment; nothing of this submission is recorded."""


class StoreUnavailable(StoreError):
    """The database could not be reached in time. The outcome is unknown: ask again with the same key."""


class HistoryLost(StoreUnavailable):
    """The database does not know what this process has recorded in it: it was restored.

    Nothing of this submission is recorded. What it was decided on may never have been; ask again.
    """


class AppendRefused(StoreError):
    """The database refused the submission as malformed. A defect of the caller, not a state of the world."""


def runs(events: Sequence[NewEvent]) -> Iterator[Sequence[NewEvent]]:
    """Cut where the stream changes: events of one stream stand together, and an id is slow to look up."""
    first = 0
    for index, new in enumerate(events):
        if new.stream_id is not events[first].stream_id:
            yield events[first:index]
            first = index
    if events:
        yield events[first:]


def check(submission: Submission) -> None:
    """Refuse what could never be recorded, before it can spoil a batch."""
    keys = set()
    expected = dict(submission.expectations)
    for command in submission.commands:
        context = command.context
        if context.company_id != submission.company_id:
            raise AppendRefused("a command of another company stands in the submission")
        key = (context.actor.id, context.idempotency_key)
        if key in keys:
            raise AppendRefused("two commands of one submission have the same idempotency key")
        keys.add(key)
        for events in runs(command.events):
            stream_id = events[0].stream_id
            before = expected.get(stream_id, events[0].version - 1)
            for new in events:
                if new.version != before + 1 or new.version < 1:
                    raise AppendRefused(f"stream {stream_id}: version {new.version} after {before}")
                before = new.version
            expected[stream_id] = before
    if not submission.commands:
        raise AppendRefused("a submission without a command")
