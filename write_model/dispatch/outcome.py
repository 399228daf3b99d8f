"""What comes of a command: a receipt, or the reason there is none.

A receipt is stored with the command as its answer, so a repeated command gets the same one. It carries
no personal data: sentences name none, and states summarise none.

    CommandError
    ├── KeyReused        the idempotency key was used for another request
    ├── VersionMismatch  the client expected another version of the thing
    ├── Contended        others kept changing the same streams; nothing was stored
    └── NotAttempted     another command of an atomic batch was refused
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import msgspec

from write_model.message import Invalid, Refusal
from write_model.store.append import CommandRecord
from write_model.values.money import Money

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder().decode


class CommandError(Exception):
    """Base of what stops a command beside refusals and invalid values."""


class KeyReused(CommandError):
    """This idempotency key was already used for another request."""


class VersionMismatch(CommandError):
    """The thing has another version than the client expected."""

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(f"expected version {expected}, found {current}")
        self.expected = expected
        self.current = current


class Contended(CommandError):
    """Others kept changing the same streams; nothing was stored, and trying again is safe."""


class NotAttempted(CommandError):
    """Another command of this atomic batch was refused, so this one was not attempted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptEvent:
    """One event a command recorded; `position` is None in a dry run."""

    event_id: UUID
    topic: str
    schema_version: int
    sentence: str
    position: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a command did. `version` is that of the target's stream afterwards."""

    command_id: UUID
    topic: str
    resource: str
    target: UUID | str
    version: int
    created: bool
    events: tuple[ReceiptEvent, ...]
    state: Mapping[str, object]
    partition: int
    first_position: int | None
    last_position: int | None
    replayed: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Why one command of a batch has no receipt."""

    error: Refusal | Invalid | CommandError


def answer_of(receipt: Receipt) -> str:
    """The receipt as it is stored: JSON without what only the append knows."""
    return _ENCODE(
        {
            "resource": receipt.resource,
            "target": str(receipt.target),
            "target_is_id": isinstance(receipt.target, UUID),
            "version": receipt.version,
            "created": receipt.created,
            "state": receipt.state,
            "events": [
                {
                    "id": str(e.event_id),
                    "type": e.topic,
                    "schema_version": e.schema_version,
                    "says": e.sentence,
                }
                for e in receipt.events
            ],
        }
    ).decode()


def receipt_of(record: CommandRecord, *, replayed: bool) -> Receipt:
    """The receipt of a stored command; positions follow from the first one, which are dense."""
    answer: dict[str, Any] = _DECODE(record.answer)
    first = record.first_position
    return Receipt(
        command_id=record.command_id,
        topic=record.topic,
        resource=answer["resource"],
        target=UUID(answer["target"]) if answer["target_is_id"] else answer["target"],
        version=answer["version"],
        created=answer["created"],
        events=tuple(
            ReceiptEvent(
                event_id=UUID(event["id"]),
                topic=event["type"],
                schema_version=event["schema_version"],
                sentence=event["says"],
                position=None if first is None else first + offset,
            )
            for offset, event in enumerate(answer["events"])
        ),
        state=answer["state"],
        partition=record.partition,
        first_position=first,
        last_position=record.last_position,
        replayed=replayed,
    )


def as_recorded(receipt: Receipt, record: CommandRecord) -> Receipt:
    """The receipt of what was appended just now, with the positions it got.

    The same as reading it back from the record, without reading it back.
    """
    first = record.first_position
    if first is None:
        return receipt
    return replace(
        receipt,
        events=tuple(
            ReceiptEvent(
                event_id=event.event_id,
                topic=event.topic,
                schema_version=event.schema_version,
                sentence=event.sentence,
                position=first + offset,
            )
            for offset, event in enumerate(receipt.events)
        ),
        first_position=first,
        last_position=record.last_position,
    )


def as_replayed(receipt: Receipt) -> Receipt:
    """The same receipt, marked as one that was given before."""
    return replace(receipt, replayed=True)


def plain(value: object) -> object:
    """A state's summary as JSON: money as amount and currency, ids as text."""
    match value:
        case Money():
            return {"amount": value.amount, "currency": value.currency}
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case UUID():
            return str(value)
        case _:
            return value
