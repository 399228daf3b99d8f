"""Telling webhooks: the consumer of their queue, and the courier that calls them.

Both live in every process that consumes; `ccontrol serve webhooks` is a courier and nothing else, for more
of them. Couriers share the deliveries, so any number may run.
"""

import asyncio
import os
import random
import secrets
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC
from uuid import UUID, uuid5

import structlog
import uvloop

from integration import bookkeeping
from integration.consumers import Consumer
from integration.subscriptions import WEBHOOKS
from integration.webhooks.calling import Caller
from integration.webhooks.courier import Courier, Disable, Surroundings
from integration.webhooks.fan_out import FanOut
from projections.connections import open_pool
from projections.long_lived import collect_seldom
from runtime.logs import configure_logs
from runtime.scraping import tell_numbers
from runtime.settings import Settings
from runtime.wiring import SystemIds, open_store, system_clock
from write_model.dispatch import Dispatcher
from write_model.message import Actor, Context, Refusal
from write_model.store.personal_data import KeyRing
from write_model.values.identifiers import WebhookId
from write_model.webhooks.webhook import DisableWebhook

COURIER = Actor("system", UUID("00000000-0000-4000-8000-0000000000c0"))
"""Who disables webhooks that are gone, or fail for days."""

_log = structlog.get_logger(__name__)


def main(settings: Settings) -> int:
    """Deliver until SIGTERM or SIGINT."""
    configure_logs()
    tell_numbers(settings)
    collect_seldom()
    with suppress(asyncio.CancelledError):
        uvloop.run(_serve(settings))
    return 0


@asynccontextmanager
async def webhooks_consumer(settings: Settings) -> AsyncIterator[Consumer]:
    """The consumer of the queue, with a courier beside it until the end of the block."""
    async with _courier(settings) as (courier, surroundings):
        yield Consumer(WEBHOOKS, FanOut(surroundings.pool, system_clock, courier.ring))


async def _serve(settings: Settings) -> None:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)
    await bookkeeping.ensure(settings.database_url)
    async with _courier(settings):
        await asyncio.Event().wait()


@asynccontextmanager
async def _courier(settings: Settings) -> AsyncIterator[tuple[Courier, Surroundings]]:
    """One that runs; if it fails, so does the block."""
    keys = KeyRing.create(settings.root_key)
    caller = Caller(trust=_trust(settings), loopback_allowed=settings.webhooks_on_loopback)
    try:
        async with (
            open_pool(settings.database_url, size=8, name="webhooks") as pool,
            open_store(settings) as (_, dispatcher),
            asyncio.TaskGroup() as tasks,
        ):
            surroundings = Surroundings(
                pool=pool,
                caller=caller,
                secret_of=keys.webhook_secret,
                disable=disabling(dispatcher),
                clock=system_clock,
                # Spreads tries; secrecy has no part in it.
                jitter=random.random,
                owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
                loopback_allowed=settings.webhooks_on_loopback,
            )
            courier = Courier(surroundings)
            running = tasks.create_task(courier.run())
            try:
                yield courier, surroundings
            finally:
                running.cancel()
    finally:
        caller.close()


def disabling(dispatcher: Dispatcher) -> Disable:
    """Disable a webhook by command, so that it stands in the log who did it and why."""

    async def disable(company_id: UUID, webhook_id: UUID, reason: str) -> None:
        now = system_clock().astimezone(UTC)
        command_id = SystemIds().new()
        context = Context(
            company_id=company_id,
            actor=COURIER,
            command_id=command_id,
            correlation_id=uuid5(webhook_id, str(command_id)),
            idempotency_key=f"webhooks/disable/{command_id}",
            body_hash=reason.encode(),
            effective_date=now.date(),
            today=now.date(),
            channel="webhooks",
            reason=reason,
        )
        try:
            await dispatcher.execute(DisableWebhook(webhook_id=WebhookId(webhook_id)), context)
        except Refusal as refusal:
            # Disabled or removed already, or the company is suspended: then nothing happens in it anyway.
            _log.info("webhook_stays", reason=refusal.code)

    return disable


def _trust(settings: Settings) -> ssl.SSLContext:
    """The authorities of this machine, and those of the file the settings name."""
    context = ssl.create_default_context()
    if settings.webhooks_authorities is not None:
        context.load_verify_locations(settings.webhooks_authorities)
    return context
