"""What becomes of one delivery: dealt with, again later, or a dead letter. The same for every broker."""

import asyncio
from dataclasses import dataclass

import structlog

from integration.broker import DeadLetter, Handler, Outcome, Subscription
from integration.event import IntegrationEvent, NotAnEvent, from_json
from projections.failures import describe

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`error` is None when the event was dealt with; `pause` is None when there is no use in trying again."""

    error: str | None = None
    pause: float | None = None

    @property
    def outcome(self) -> Outcome:
        """What is counted."""
        if self.error is None:
            return "handled"
        return "buried" if self.pause is None else "retried"


DONE = Verdict()


def read(body: bytes) -> IntegrationEvent | Verdict:
    """The event, or why these bytes can only be kept for somebody to look at."""
    try:
        return from_json(body)
    except NotAnEvent as error:
        return Verdict(error=f"not an integration event: {error}")


async def handle(
    subscription: Subscription, handler: Handler, event: IntegrationEvent, attempts: int
) -> Verdict:
    """Let the handler try; `attempts` is how often it has failed before."""
    try:
        async with asyncio.timeout(subscription.handler_seconds):
            await handler(event)
    except DeadLetter as error:
        return Verdict(error=str(error)[:500] or "dead letter")
    except Exception as error:  # noqa: BLE001  # whatever it is, it is kept with the message
        _log.warning(
            "handler_failed", queue=subscription.queue, event_id=event.public_id, error=describe(error)
        )
        return failed(subscription, attempts, describe(error))
    return DONE


def failed(subscription: Subscription, attempts: int, error: str) -> Verdict:
    """Again after the next pause, while there is one."""
    pauses = subscription.retry_seconds
    return Verdict(error=error, pause=pauses[attempts] if attempts < len(pauses) else None)
