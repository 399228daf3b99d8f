"""An event comes from the broker, and every webhook that wants it gets a delivery.

Who wants it is read from the projection of webhooks, once that has folded as far as the event itself: so a
webhook is told exactly of what happened after it was registered, however late or often the event comes.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog
from psycopg_pool import AsyncConnectionPool

from integration.event import IntegrationEvent
from integration.together import Together
from integration.webhooks import deliveries
from integration.webhooks.deliveries import New
from integration.webhooks.listeners import Listeners
from integration.webhooks.retries import TRIES_MAX
from projections.connections import Connection
from write_model.message import EVENTS
from write_model.values.identifiers import decode
from write_model.webhooks.events import (
    RedeliveryRequested,
    TestRequested,
    WebhookChanged,
    WebhookDisabled,
    WebhookEnabled,
    WebhookRemoved,
)

_PATIENCE_SECONDS: Final = 10.0
_LOOK_AGAIN: Final = frozenset({WebhookEnabled.topic, WebhookChanged.topic})

_ENDS: Final = {WebhookDisabled.topic: "webhook-disabled", WebhookRemoved.topic: "webhook-removed"}

_log = structlog.get_logger(__name__)


class FanOut:
    """The handler of the queue of webhooks. `ring` wakes a courier of this process."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        clock: Callable[[], datetime],
        ring: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._listeners = Listeners(pool)
        self._together: Together[Sequence[New], None] = Together(self._write)
        self._rooms: dict[UUID, int] = {}
        self._clock = clock
        self._ring = ring

    async def __call__(self, event: IntegrationEvent) -> None:
        """Doing it twice does no harm."""
        if event.topic == RedeliveryRequested.topic:
            await self._redeliver(event)
        elif event.topic == TestRequested.topic:
            # Whoever asks waits for it, however much waits for a webhook that was not there for a while.
            await self._enqueue(event, [_linked(event, "webhook", "whk")], tries_max=1, is_urgent=True)
        else:
            if event.topic in _LOOK_AGAIN:
                await self._forgive(_linked(event, "webhook", "whk"))
            if event.topic in _ENDS:
                await self._drop_waiting(event)
            technical = _is_technical(event.topic)
            wanting = [
                each.id
                for each in await self._listeners.at(
                    event.company_id, event.partition, event.position, patience_seconds=_PATIENCE_SECONDS
                )
                if each.wants(event.topic, event.position, technical=technical)
            ]
            await self._enqueue(event, wanting, tries_max=TRIES_MAX)

    async def _enqueue(
        self, event: IntegrationEvent, webhooks: Sequence[UUID], *, tries_max: int, is_urgent: bool = False
    ) -> None:
        if not webhooks:
            return
        body = _told(event)
        await self._together.do(
            [
                New(
                    company_id=event.company_id,
                    webhook_id=webhook_id,
                    event_id=event.id,
                    topic=event.topic,
                    position=event.position,
                    body=body,
                    tries_max=tries_max,
                    is_urgent=is_urgent,
                )
                for webhook_id in webhooks
            ]
        )

    async def _write(self, asked: Sequence[Sequence[New]]) -> None:
        rooms, self._rooms = self._rooms, {}
        async with self._pool.connection() as connection, connection.transaction():
            # The broker forgets the events after this: a crash of the database must not.
            await connection.execute("SET LOCAL synchronous_commit = on")
            new = [each for some in asked for each in some]
            await deliveries.enqueue(connection, new, now=self._clock(), rooms=rooms)
        # Only now: what was rolled back is to be counted again.
        self._rooms = rooms
        self._ring()

    async def _redeliver(self, event: IntegrationEvent) -> None:
        """Of a delivery that there was when it was asked for, but perhaps is not any more."""
        company_id, webhook_id = event.company_id, _linked(event, "webhook", "whk")
        delivery_id = _linked(event, "webhook_delivery", "whd")
        wanted = {"company_id": company_id, "webhook_id": webhook_id, "delivery_id": delivery_id}
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = on")
            done = await deliveries.redeliver(
                connection, **wanted, position=event.position, now=self._clock()
            )
            if not done and not await deliveries.is_known(connection, **wanted):
                _log.warning("redelivery_of_nothing", event_id=event.public_id, webhook_id=str(webhook_id))
                await deliveries.count(connection, {"unknown": 1})
        self._ring()

    async def _drop_waiting(self, event: IntegrationEvent) -> None:
        """At once: it may be enabled again long before what waits is due."""
        async with self._pool.connection() as connection, connection.transaction():
            dropped = await deliveries.drop_waiting(
                connection,
                company_id=event.company_id,
                webhook_id=_linked(event, "webhook", "whk"),
                position=event.position,
                reason=_ENDS[event.topic],
                unless=TestRequested.topic,
                now=self._clock(),
            )
            if dropped:
                await deliveries.count(connection, {"dropped": dropped})

    async def _forgive(self, webhook_id: UUID) -> None:
        async with self._pool.connection() as connection:
            await deliveries.note_health(connection, webhook_id)


def _linked(event: IntegrationEvent, kind: str, prefix: str) -> UUID:
    return next(decode(prefix, link.id) for link in event.links if link.type == kind)


def _is_technical(topic: str) -> bool:
    kind = EVENTS.get(topic)
    return kind is not None and kind.importance == "technical"


def _told(event: IntegrationEvent) -> bytes:
    """The body, the same at every try: type, time, and the thin event."""
    moment = event.recorded_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    told = {"type": event.topic, "timestamp": moment, "data": json.loads(event.to_json())}
    return json.dumps(told, separators=(",", ":")).encode()
