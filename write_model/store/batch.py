"""One call of the append function: submissions laid out as columns, and its answer read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from write_model.message import Context
from write_model.store.append import Appended, CommandRecord, Conflicted, Decided, Submission, runs
from write_model.store.arrays import OIDS, Bytes, Column, Dates, Integers, Names, Texts, Uuids, packed
from write_model.store.connections import INTEGER, Row, Statement


@dataclass(frozen=True, slots=True)
class Prepared:
    """A submission with its events encoded, one text per event, in the order of its commands."""

    submission: Submission
    texts: tuple[str, ...]
    expectations: Mapping[UUID, int]
    """What the submission expects of the streams it read, and of those it only writes."""
    written: frozenset[UUID]


def prepared(submission: Submission, texts: tuple[str, ...]) -> Prepared:
    """Add what is implied: a stream that is written was at the version before its first new one."""
    expectations = dict(submission.expectations)
    written = set()
    for command in submission.commands:
        for events in runs(command.events):
            new = events[0]
            if new.stream_id not in written:
                written.add(new.stream_id)
                expectations.setdefault(new.stream_id, new.version - 1)
    return Prepared(submission, texts, expectations, frozenset(written))


class Batch:
    """Submissions of one partition that are appended together."""

    def __init__(self, partition: int, members: Sequence[Prepared]) -> None:
        self.partition = partition
        self.members = members
        self._columns = Columns()
        self._companies: dict[UUID, int] = {}
        # Whose each command and each expectation is, as the function answers with their indexes.
        self._owner_of_command: list[int] = []
        self._owner_of_expectation: list[tuple[int, UUID]] = []
        for index, member in enumerate(members):
            company = self._companies.setdefault(member.submission.company_id, len(self._companies) + 1)
            self._add(company, member)
            self._owner_of_command += [index] * len(member.submission.commands)
            self._owner_of_expectation += [(index, stream) for stream in member.expectations]

    def _add(self, company: int, member: Prepared) -> None:
        columns, texts = self._columns, iter(member.texts)
        expected = {
            stream: columns.expect(stream, version) for stream, version in member.expectations.items()
        }
        for command in member.submission.commands:
            columns.add_command(company, command.context, command.topic, command.answer, len(command.events))
            for events in runs(command.events):
                expectation = expected[events[0].stream_id]
                for new in events:
                    kind = type(new.event)
                    columns.add_event(
                        expectation, new.version, kind.topic, kind.schema_version, new.event_id, next(texts)
                    )

    def parameters(self) -> list[object]:
        """The arguments of the append function."""
        return [self.partition, Uuids(self._companies), *self._columns.arguments()]

    def values(self) -> list[bytes]:
        """The same, packed."""
        columns = [Uuids(self._companies), *self._columns.arguments()]
        return [self.partition.to_bytes(4), *map(packed, columns)]

    def taken(self, row: Row) -> set[int]:
        """The members of which a key is recorded already, from the function's answer."""
        return {self._owner_of_command[index - 1] for index in row[0] or ()}

    def conflicts(self, row: Row) -> dict[int, Conflicted]:
        """The members whose expectations no longer hold, with the streams that moved."""
        streams: dict[int, set[UUID]] = {}
        for index in row[1] or ():
            member, stream = self._owner_of_expectation[index - 1]
            streams.setdefault(member, set()).add(stream)
        return {member: Conflicted(frozenset(moved)) for member, moved in streams.items()}

    def appended(self, row: Row) -> list[Appended]:
        """What was recorded, per member; the function's answer gives the position before the first."""
        position, recorded_at = int(row[2]), row[3]
        verdicts = []
        for member in self.members:
            records = []
            for command in member.submission.commands:
                records.append(record_of(command, self.partition, position, recorded_at))
                position += len(command.events)
            verdicts.append(Appended(tuple(records)))
        return verdicts


def record_of(command: Decided, partition: int, before: int, recorded_at: datetime) -> CommandRecord:
    """The record of a command whose first event follows position `before`."""
    context, length = command.context, len(command.events)
    return CommandRecord(
        context.command_id,
        context.company_id,
        context.actor.id,
        context.idempotency_key,
        context.body_hash,
        command.topic,
        command.answer,
        partition,
        before + 1 if length else None,
        before + length if length else None,
        recorded_at,
    )


class Columns:
    """The columns of the three kinds of rows, in the order of the function's parameters."""

    def __init__(self) -> None:
        self.company, self.actor_kind, self.actor, self.on_behalf_of = Integers(), Names(), Uuids(), Uuids()
        self.key, self.body_hash, self.command = Texts(), Bytes(), Uuids()
        self.correlation, self.causation, self.command_topic = Uuids(), Uuids(), Names()
        self.channel, self.reason, self.effective_date = Names(), Texts(), Dates()
        self.answer, self.first, self.last = Texts(), Integers(), Integers()
        self.command_of, self.expectation, self.version, self.topic = (
            Integers(),
            Integers(),
            Integers(),
            Texts(),
        )
        self.schema_version, self.event_id, self.data = Integers(), Uuids(), Texts()
        self.expected_stream, self.expected_version = Uuids(), Integers()

    def arguments(self) -> list[Column[Any]]:
        """Everything after the partition and the companies."""
        return [
            self.company, self.actor_kind, self.actor, self.on_behalf_of, self.key, self.body_hash,
            self.command, self.correlation, self.causation, self.command_topic, self.channel, self.reason,
            self.effective_date, self.answer, self.first, self.last,
            self.command_of, self.expectation, self.version, self.topic, self.schema_version, self.event_id,
            self.data,
            self.expected_stream, self.expected_version,
        ]  # fmt: skip

    def add_command(self, company: int, context: Context, topic: str, answer: str, events: int) -> None:
        """A command, whose `events` events are added right after it."""
        before = len(self.version)
        self.company.append(company)
        self.actor_kind.append(context.actor.kind)
        self.actor.append(context.actor.id)
        self.on_behalf_of.append(context.actor.on_behalf_of)
        self.key.append(context.idempotency_key)
        self.body_hash.append(context.body_hash)
        self.command.append(context.command_id)
        self.correlation.append(context.correlation_id)
        self.causation.append(context.causation_id)
        self.command_topic.append(topic)
        self.channel.append(context.channel)
        self.reason.append(context.reason)
        self.effective_date.append(context.effective_date)
        self.answer.append(answer)
        self.first.append(before + 1 if events else None)
        self.last.append(before + events if events else None)

    def add_event(
        self, expectation: int, version: int, topic: str, schema_version: int, event_id: UUID, data: str
    ) -> None:
        """An event of the command added last, on the stream of an expectation that was added before."""
        self.command_of.append(len(self.company))
        self.expectation.append(expectation)
        self.version.append(version)
        self.topic.append(topic)
        self.schema_version.append(schema_version)
        self.event_id.append(event_id)
        self.data.append(data)

    def expect(self, stream_id: UUID, version: int) -> int:
        """A stream is appended to, or was read, at this version; the number of this expectation."""
        self.expected_stream.append(stream_id)
        self.expected_version.append(version)
        return len(self.expected_stream)


_TYPES = [INTEGER, *(OIDS[type(column)] for column in [Uuids(), *Columns().arguments()])]
_APPEND = "SELECT taken, moved, head, appended_at FROM ccontrol.append_events"
APPEND = f"{_APPEND}({', '.join(['%b'] * len(_TYPES))})"
"""For whoever has the driver adapt `Batch.parameters`."""
APPEND_PACKED = Statement(
    b"append", f"{_APPEND}({', '.join(f'${n}' for n in range(1, len(_TYPES) + 1))})".encode(), _TYPES
)
"""For `Batch.values`."""
