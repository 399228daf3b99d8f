"""The processes that tell the world: the relay, and those who consume what it tells."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import uvloop

from integration import bookkeeping, consumers, relay
from integration.broker import Broker
from integration.local import LocalBroker
from integration.rabbitmq import RabbitMQ
from integration.subscriptions import SUBSCRIPTIONS
from projections.connections import open_pool
from projections.long_lived import collect_seldom
from runtime.consumers import consumers_of
from runtime.logs import configure_logs
from runtime.scraping import tell_numbers
from runtime.settings import Settings
from write_model.store.log import Log

# How often at most the relay is woken: a page of many events costs hardly more than one of a single event.
_GATHER_SECONDS = 0.15


def main(settings: Settings, *, relays: bool, consumes: bool) -> int:
    """Until SIGTERM or SIGINT."""
    configure_logs()
    tell_numbers(settings)
    collect_seldom()
    with suppress(asyncio.CancelledError):
        uvloop.run(_serve(settings, relays, consumes))
    return 0


@asynccontextmanager
async def open_broker(settings: Settings) -> AsyncIterator[Broker]:
    """RabbitMQ where there is one, else the tables of our own database."""
    # One connection per queue that is consumed here, and a few to share.
    async with open_pool(settings.database_url, size=4 + len(SUBSCRIPTIONS), name="broker") as pool:
        if not settings.amqp_url:
            yield LocalBroker(settings.database_url, pool)
            return
        broker = RabbitMQ(settings.amqp_url, pool)
        try:
            yield broker
        finally:
            await broker.close()


@asynccontextmanager
async def _open_log(settings: Settings) -> AsyncIterator[Log]:
    """Without keys: what the relay cannot read it cannot tell."""
    log = await Log.open(settings.database_url, None, gather_seconds=_GATHER_SECONDS)
    try:
        yield log
    finally:
        await log.close()


async def _serve(settings: Settings, relays: bool, consumes: bool) -> None:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)
    await bookkeeping.ensure(settings.database_url)
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        broker = await stack.enter_async_context(open_broker(settings))
        if relays:
            tasks.create_task(
                relay.run(
                    settings.database_url, lambda: _open_log(settings), broker, SUBSCRIPTIONS, owner=owner
                )
            )
        if consumes:
            pool = await stack.enter_async_context(open_pool(settings.database_url, size=2, name="consumers"))
            handlers = await stack.enter_async_context(consumers_of(settings))
            tasks.create_task(consumers.run(broker, pool, handlers, owner=owner))
