"""The language of the write model: events, commands, states, refusals, and the envelope around them.

    Event    what happened: a frozen dataclass with a stable topic, never a class path
    Command  what a clerk asks for: `decide` yields events or raises a Refusal
    State    what a stream of events amounts to: `apply` folds, never refuses
    Refusal  the state of the world that forbids: the class name is the code, the docstring the message

        Refusal
        ├── NotFound       the thing a command names does not exist in this company
        ├── StateConflict  it exists, but not in a state that allows this
        ├── Duplicate      something else already holds the name or number
        ├── PeriodClosed   the books of that month are closed
        └── RuleBroken     the request contradicts a rule of the business

Pure Python: no framework is imported here, so facts and decisions outlive every framework.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from string import Formatter
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar, cast, dataclass_transform
from uuid import UUID, uuid5

from write_model.values.invalid import Invalid
from write_model.values.money import Money

__all__ = [
    "COMMANDS",
    "EVENTS",
    "UNREAD",
    "Actor",
    "Command",
    "CommandType",
    "Context",
    "Duplicate",
    "Event",
    "Invalid",
    "NotFound",
    "PeriodClosed",
    "Personal",
    "Recorded",
    "Refusal",
    "RuleBroken",
    "State",
    "StateConflict",
    "Streams",
    "Unread",
    "command",
    "event",
    "sentence",
    "stream_id_of",
]

Importance = Literal["main", "detail", "technical"]
Needs = Literal["existing", "new", "any"]


# --- personal data ------------------------------------------------------------------------------------


class Personal:
    """Text about a natural person; stored encrypted under the key of its subject.

    `subject` is the id whose key encrypts it (the party). `text` is None once the key was destroyed.
    """

    __slots__ = ("subject", "text")

    def __init__(self, subject: UUID, text: str | None) -> None:
        self.subject = subject
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Personal) and (self.subject, self.text) == (other.subject, other.text)

    def __hash__(self) -> int:
        return hash((self.subject, self.text))

    def __repr__(self) -> str:  # the text never reaches a log or a traceback
        return f"Personal({'erased' if self.text is None else 'hidden'})"


# --- events -------------------------------------------------------------------------------------------


class Event:
    """Base of every event. Subclasses are frozen dataclasses made by the `event` decorator."""

    __slots__ = ()
    topic: ClassVar[str]
    schema_version: ClassVar[int]
    sentences: ClassVar[Mapping[str, str]]
    importance: ClassVar[Importance]


class Unread(Event):
    """Stands for an event its reader did not ask for. Of its envelope only the topic and what orders events
    was read (partition and position, stream and version, the moment); the rest is None, whatever its type.
    """

    __slots__ = ()


UNREAD = Unread()

EVENTS: dict[str, type[Event]] = {}
"""Every event type by topic, filled as the modules named `events` are imported."""

E = TypeVar("E", bound=type[Event])
_TOPIC = re.compile(r"[a-z]+(?:_[a-z]+)*\.[a-z]+(?:_[a-z]+)*")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def event(
    topic: str, *, pt: str, en: str, version: int = 1, importance: Importance = "main"
) -> Callable[[E], E]:
    """Declare an event: its topic (storage, for ever), schema version, and a sentence in two languages.

    The sentences are `str.format` templates over the event's fields; Personal fields may not stand in them.
    """
    if not _TOPIC.fullmatch(topic):
        raise ValueError(f"not a topic: {topic!r}")

    def declare(cls: E) -> E:
        made = cast(E, dataclass(frozen=True, slots=True, kw_only=True)(cls))
        made.topic = topic
        made.schema_version = version
        made.sentences = {"pt-BR": pt, "en": en}
        made.importance = importance
        known = EVENTS.get(topic)
        if known is not None and known.__qualname__ != made.__qualname__:
            raise ValueError(f"topic {topic} is declared twice")
        EVENTS[topic] = made
        return made

    return declare


def sentence(fact: Event, language: str = "pt-BR") -> str:
    """Say an event in one sentence of `language` ("pt-BR" or "en")."""
    template = fact.sentences[language]
    values = {name: _spoken(getattr(fact, name), language) for name in _named_in(template)}
    return template.format_map(values)


@lru_cache(maxsize=2_048)
def _named_in(template: str) -> tuple[str, ...]:
    """The fields a template names, each once: `{price}`, `{address.city}`, `{lines[0]}`."""
    named = (name for _, name, _, _ in Formatter().parse(template) if name is not None)
    return tuple(dict.fromkeys(re.split(r"[.\[]", name, maxsplit=1)[0] for name in named))


def _spoken(value: Any, language: str) -> Any:
    if isinstance(value, Money):
        return spoken_money(value, language)
    if isinstance(value, date) and language == "pt-BR":
        return value.strftime("%d/%m/%Y")
    if isinstance(value, tuple | list | frozenset):
        return len(value)
    return value


def spoken_money(value: Money, language: str) -> str:
    """`R$ 1.234,56` in Portuguese, `R$ 1,234.56` in English."""
    whole, cents = divmod(abs(value.minor), 100)
    text = f"{whole:,}.{cents:02d}"
    if language == "pt-BR":
        text = text.translate(str.maketrans(",.", ".,"))
    symbol = "R$" if value.currency == "BRL" else value.currency
    return f"{'-' if value.minor < 0 else ''}{symbol} {text}"


# --- refusals -----------------------------------------------------------------------------------------


class Refusal(Exception):
    """Why the state of the world forbids a command. `params` are public facts, never personal data."""

    pt: ClassVar[str] = "Não é possível"

    def __init__(self, **params: object) -> None:
        self.params = {name: _spoken_param(value) for name, value in params.items()}
        super().__init__(self.code)

    @property
    def code(self) -> str:
        """The kebab-case name clients branch on: `SaleNotOpen` is `sale-not-open`."""
        return refusal_code(type(self))

    @property
    def message(self) -> str:
        """The docstring's first line, in English."""
        return (type(self).__doc__ or "").strip().splitlines()[0]


def refusal_code(kind: type[Refusal]) -> str:
    """`SaleNotOpen` → `sale-not-open`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def _spoken_param(value: object) -> str:
    return value.amount if isinstance(value, Money) else str(value)


class NotFound(Refusal):
    """There is no such thing in this company."""

    pt = "Não encontrado nesta empresa"


class StateConflict(Refusal):
    """The state of this record does not allow it."""

    pt = "A situação deste registro não permite"


class Duplicate(Refusal):
    """Something else already has this name or number."""

    pt = "Já existe um registro com este identificador"


class PeriodClosed(Refusal):
    """The accounting period of this date is closed."""

    pt = "O período contábil desta data está fechado"


class RuleBroken(Refusal):
    """A rule of the business forbids it."""

    pt = "Uma regra de negócio não permite"


# --- states and streams -------------------------------------------------------------------------------

S = TypeVar("S", bound="State")


class State:
    """What a stream amounts to. Made empty, then folded with `apply`, one event at a time, in order.

    `kind` names the family of streams (`sales.sale`); it enters every stream id, so it is storage.

    A kind whose streams grow without end declares a `snapshot_version` and the types of its slots: then its
    states are kept now and then, and `apply` goes on from there. Raise it whenever `apply` or a slot changes.
    """

    __slots__ = ()
    kind: ClassVar[str]
    snapshot_version: ClassVar[int] = 0

    def apply(self, fact: Any) -> None:
        """Fold one event. Never refuses: what is recorded has happened."""
        raise TypeError(f"{type(self).__name__} folds nothing")

    def summary(self) -> Mapping[str, object]:
        """The little a client wants to see in the answer of a command: status, open amounts."""
        return {}

    def copy(self: S) -> S:
        """A state of its own, to fold further. Its containers are new, what they hold is immutable.

        So a state keeps only immutable values, and dicts, sets and lists of them.
        """
        made = object.__new__(type(self))
        slots: tuple[str, ...] = type(self).__slots__
        for name in slots:
            value = getattr(self, name)
            setattr(made, name, value.copy() if isinstance(value, dict | set | list) else value)
        return made

    def summary_of(self, target: object) -> Mapping[str, object]:
        """The summary of what a command names, where that is a part of the whole."""
        return self.summary()


# A decision names the same streams several times over, and hashing is most of what naming costs.
@lru_cache(maxsize=65_536)
def stream_id_of(company_id: UUID, kind: str, key: UUID | str) -> UUID:
    """The stream of one thing of one company. Derived from the company: nobody can name another's stream."""
    return uuid5(company_id, f"{kind}/{key}")


# --- the envelope -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: kind is `user`, `api_key` or `system`."""

    kind: str
    id: UUID
    on_behalf_of: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What surrounds a command: who, for which company, on which day, under which key.

    `loopback_allowed` is so on a developer's machine: there, partners may live on the machine itself.
    """

    company_id: UUID
    actor: Actor
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None = None
    idempotency_key: str
    body_hash: bytes
    effective_date: date
    today: date
    channel: str = "api"
    reason: str | None = None
    expected_version: int | None = None
    language: str = "pt-BR"
    loopback_allowed: bool = False


class Recorded(NamedTuple):
    """An event as it stands in the store: the fact and its whole audit trail.

    A tuple, because one is made for every event that is read: a frozen dataclass of this size takes eight
    times as long to make, and was a fifth of the time of a rebuild.
    """

    partition: int
    position: int
    company_id: UUID
    stream_id: UUID
    version: int
    topic: str
    schema_version: int
    event_id: UUID
    effective_date: date
    recorded_at: datetime
    actor_kind: str
    actor_id: UUID
    on_behalf_of: UUID | None
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    channel: str
    reason: str | None
    event: Event


class Streams(Protocol):
    """What a decision across streams reads and writes: every stream it reads is checked at the append.

    `load` gives the state with what this decision has already recorded; an empty stream gives a fresh state.
    """

    @property
    def context(self) -> Context: ...

    async def load(self, state: type[S], key: UUID | str) -> S:
        """The state of one stream; remembered, so the append fails if the stream moves meanwhile."""
        ...

    async def load_all(self, state: type[S], keys: Sequence[UUID | str]) -> list[S]:
        """Several streams of one kind in one round trip, in the order of `keys`."""
        ...

    async def existing(self, state: type[S], key: UUID | str) -> S:
        """Like `load`, but raises NotFound for an empty stream."""
        ...

    async def existing_all(self, state: type[S], keys: Sequence[UUID | str]) -> list[S]:
        """Like `load_all`, but raises NotFound for any empty stream."""
        ...

    def record(self, state: type[State], key: UUID | str, events: Iterable[Event]) -> None:
        """Add events to a stream that was loaded. Nothing is stored before the whole decision is made."""
        ...

    def fingerprint(self, text: str) -> str:
        """A keyed hash of `text` under the company's key: claims a number without disclosing it."""
        ...


# --- commands -----------------------------------------------------------------------------------------


class Command:
    """Base of every command. `decide` has one of two shapes:

    on one stream:   `def decide(self, state) -> Iterator[Event]`
    across streams:  `async def decide(self, streams: Streams) -> None`
    """

    __slots__ = ()
    meta: ClassVar["CommandType"]

    def stream_key(self) -> UUID | str:
        """The key of the stream `meta.on` acts on; the target itself unless a command says otherwise."""
        key: UUID | str = getattr(self, self.meta.target)
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandType:
    """The one registry entry of a command, from which every door is generated.

    `target` is the field that names the thing acted on. `needs` says whether its stream must exist, must be
    new (then a client may leave the target out, and the door gives it an id), or may be either. `dated_by`
    names the field that is the day of the fact, when the command has one of its own; without it the day
    comes with the envelope.
    """

    topic: str
    command: type[Command]
    on: type[State]
    route: str
    permission: str
    target: str
    needs: Needs
    resource: str
    dated_by: str | None
    needs_reason: bool
    reversed_by: str | None


COMMANDS: dict[str, CommandType] = {}
"""Every command by topic, filled as the modules that declare them are imported."""

C = TypeVar("C", bound=type[Command])


@dataclass_transform(frozen_default=True, kw_only_default=True)
def command(
    topic: str,
    *,
    route: str,
    permission: str,
    target: str,
    resource: str,
    on: type[State],
    needs: Needs = "existing",
    dated_by: str | None = None,
    needs_reason: bool = False,
    reversed_by: str | None = None,
) -> Callable[[C], C]:
    """Declare a command: what it is called, where its door is, who may use it.

    `route` is a path under `/v1` whose placeholder, if any, is the target field: `/sales/{sale_id}/confirm`.
    `resource` is the singular noun clients see (`sale`); `permission` is `<area>.<what>`.
    """

    def declare(cls: C) -> C:
        made = cast(C, dataclass(frozen=True, slots=True, kw_only=True)(cls))
        made.meta = CommandType(
            topic=topic,
            command=made,
            on=on,
            route=route,
            permission=permission,
            target=target,
            needs=needs,
            resource=resource,
            dated_by=dated_by,
            needs_reason=needs_reason,
            reversed_by=reversed_by,
        )
        COMMANDS[topic] = made.meta
        return made

    return declare
