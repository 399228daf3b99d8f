"""A process that consumes: one task per queue, a heartbeat, and the post for letters to be tried again."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import structlog
from psycopg_pool import AsyncConnectionPool

from integration.broker import Broker, Handler, Outcome, PublishFailed, Subscription, Tally
from integration.dead_letters import send_wanted
from integration.low_water import LowWater, note
from projections.backoff import Backoff
from projections.connections import Connection, is_transient, stop_if_cancelled

_BEAT_EVERY_SECONDS = 2.0
_POST_SECONDS = 1.0
# Who has not been seen for this long is gone.
FORGET_SECONDS = 60.0

_BEAT = """
INSERT INTO integration.consumers AS c (queue, owner, handled, retried, buried)
    VALUES (%(queue)s, %(owner)s, %(handled)s, %(retried)s, %(buried)s)
    ON CONFLICT (queue, owner) DO UPDATE
        SET seen_at = clock_timestamp(), handled = EXCLUDED.handled, retried = EXCLUDED.retried,
            buried = EXCLUDED.buried
"""
_FORGET = """
DELETE FROM integration.consumers WHERE seen_at < clock_timestamp() - make_interval(secs => %s)
"""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Consumer:
    """Who deals with the events of a queue."""

    subscription: Subscription
    handler: Handler


async def run(
    broker: Broker, pool: AsyncConnectionPool[Connection], consumers: Sequence[Consumer], *, owner: str
) -> None:
    """Consume until cancelled. The bookkeeping must have been ensured; `owner` names this process only."""
    await _declare(broker, [each.subscription for each in consumers])
    async with asyncio.TaskGroup() as tasks:
        tallies: dict[str, Tally] = {}
        handlers: dict[str, LowWater] = {}
        for each in consumers:
            queue = each.subscription.queue
            tally, handler = tallies[queue], handlers[queue] = Tally(), LowWater(each.handler)
            tasks.create_task(broker.consume(each.subscription, handler, tally))
        tasks.create_task(_beat(pool, tallies, handlers, owner))
        tasks.create_task(_post(broker, pool))


async def _declare(broker: Broker, subscriptions: Sequence[Subscription]) -> None:
    backoff = Backoff(longest_seconds=10)
    while True:
        try:
            await broker.declare(subscriptions)
            return
        except PublishFailed as failure:
            stop_if_cancelled()
            _log.warning("consumers_wait", error=str(failure))
        await asyncio.sleep(backoff.failed())


async def _beat(
    pool: AsyncConnectionPool[Connection],
    tallies: Mapping[str, Tally],
    handlers: Mapping[str, LowWater],
    owner: str,
) -> None:
    """Say that we live, what came of it, and how far we are."""
    noted: dict[str, Mapping[int, int]] = {}
    while True:
        try:
            async with pool.connection() as connection:
                for queue, tally in tallies.items():
                    counts = {outcome: tally.counts[outcome] for outcome in get_args(Outcome)}
                    await connection.execute(_BEAT, {"queue": queue, "owner": owner, **counts})
                await connection.execute(_FORGET, (FORGET_SECONDS,))
                for queue, handler in handlers.items():
                    if (marks := handler.marks()) != noted.get(queue):
                        await note(connection, queue, marks)
                        noted[queue] = marks
        except Exception as error:
            stop_if_cancelled()
            if not is_transient(error):
                raise
        stop_if_cancelled()
        await asyncio.sleep(_BEAT_EVERY_SECONDS)


async def _post(broker: Broker, pool: AsyncConnectionPool[Connection]) -> None:
    """Put dead letters back that an operator wants to be tried again."""
    backoff = Backoff(longest_seconds=10)
    while True:
        pause = _POST_SECONDS
        try:
            async with pool.connection() as connection:
                await send_wanted(connection, broker)
            backoff.reset()
        except Exception as error:
            stop_if_cancelled()
            if not (is_transient(error) or isinstance(error, PublishFailed)):
                raise
            _log.warning("letters_wait", error=type(error).__name__)
            pause = backoff.failed()
        stop_if_cancelled()
        await asyncio.sleep(pause)
