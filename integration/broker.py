"""The port every broker stands behind: RabbitMQ, or tables of our own database where there is none.

Both give the same promises, and `tests/integration/test_contract.py` holds both to them:

- A published event is confirmed when every queue it belongs to holds it durably. One that belongs to no
  queue is not confirmed but `Unroutable`: it would be lost without a word.
- Each queue gets every event that matches one of its patterns **at least once**. Duplicates have the same
  `event.id`.
- **Order per stream**: the first delivery of version n+1 of a stream never comes before the first delivery
  of version n. One handler of a queue runs at a time for a stream, several streams run side by side; one
  process consumes a queue at a time, the others stand by.
- A handler that returns has dealt with the event. One that raises, or takes longer than `handler_seconds`,
  gets it again after each of the pauses in `retry_seconds`, while later events go on; then the event is a
  **dead letter**, kept with the error until an operator retries or discards it. `DeadLetter` raised by the
  handler ends the trying at once.
- When a process dies inside a handler, the event comes again; after `deliveries_max` such deaths it is a dead
  letter, too. What was on the way beside it comes again one by one, so that nothing else dies of it.

How to consume: add a `Subscription` to `integration/subscriptions.py`, so that its queue exists before the
first event is published, and give its handler to `runtime/consumers.py`:

    async def handle(event: IntegrationEvent) -> None:
        ...  # look up what is needed by event.links; do it so that doing it twice does no harm

    await broker.consume(WEBHOOKS, handle)  # until cancelled; reconnects by itself
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from integration.event import IntegrationEvent

Handler = Callable[[IntegrationEvent], Awaitable[None]]
Outcome = Literal["handled", "retried", "buried"]


class DeadLetter(Exception):
    """Raised by a handler: trying again is of no use. The message is kept and shown to operators."""


class PublishFailed(Exception):
    """Some events are not confirmed; they may or may not have arrived, and are sent again."""


class Unroutable(PublishFailed):
    """An event belongs to no queue: the broker's bindings are not what they should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One queue: which events it gets and how it is consumed.

    `patterns` match routing keys, `<company>.<topic>`: three words, `*` for one, `#` for any number of them.
    `#` is everything, `*.sales.*` all of sales, `cmp_….#` one company.
    """

    queue: str
    patterns: tuple[str, ...]
    retry_seconds: tuple[float, ...] = (1, 5, 30, 120, 600)
    deliveries_max: int = 20
    handler_seconds: float = 60
    concurrency: int = 16


@dataclass(frozen=True, slots=True)
class Published:
    """What came of sending a few events: those that are confirmed, and why others are not."""

    confirmed: frozenset[UUID]
    failure: PublishFailed | None = None


class Tally:
    """How often each outcome came of the deliveries of one queue in this process."""

    def __init__(self) -> None:
        self.counts: Counter[Outcome] = Counter()

    def note(self, outcome: Outcome) -> None:
        """One more."""
        self.counts[outcome] += 1


class Publisher(Protocol):
    """Sends; made by `Broker.publisher`, for one task."""

    async def publish(self, events: Sequence[IntegrationEvent]) -> Published:
        """Send these, in order within each stream: none before the one ahead of it is confirmed.

        Never raises PublishFailed but returns it, with what was confirmed nevertheless. After a failure the
        next call starts afresh, with a new channel or connection.
        """
        ...


class Broker(Protocol):
    """One broker, as a process uses it."""

    async def declare(self, subscriptions: Sequence[Subscription]) -> None:
        """Make queues and bindings, or find them as they should be. Raises PublishFailed while it is down."""
        ...

    def publisher(self) -> AbstractAsyncContextManager[Publisher]:
        """A publisher of one's own. Connects when it is first used."""
        ...

    async def consume(self, subscription: Subscription, handler: Handler, tally: Tally | None = None) -> None:
        """Give the queue's events to the handler until cancelled; the queue must have been declared.

        Waits for a broker that is down.
        """
        ...

    async def redeliver(self, queue: str, letter: "Letter") -> None:
        """Put a dead letter back into its queue, and into no other. Raises PublishFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it was sent."""

    id: str
    body: bytes
