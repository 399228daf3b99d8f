"""Couriers as processes: killed in the middle of a call, and taken over."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from tests.webhooks.post_office import PostOffice
from tests.webhooks.receiver import answering, receiving, saying
from write_model.webhooks.events import WebhookChanged

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

_ROOT = Path(__file__).parents[2]


async def test_what_a_killed_courier_was_telling_is_told_by_another(
    office: PostOffice, furnished: str, tmp_path: Path
) -> None:
    async with receiving(secure=False) as receiver:
        receiver.respond = saying(b"", then_wait=True)
        webhook_id = cast("Any", await office.register(receiver))
        url = f"http://127.0.0.1:{receiver.port}/ganchos"
        changed = WebhookChanged(webhook_id=webhook_id, url=url, topics=("*",), description=None)
        await office.happened(changed)
        await office.told_sale()
        environment = os.environ | {
            "DATABASE_URL": furnished,
            "REDIS_URL": "redis://127.0.0.1:1",
            "CCONTROL_STATE": str(tmp_path),
            "CCONTROL_WEBHOOKS_LOOPBACK": "1",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "runtime.cli", "serve", "webhooks", cwd=_ROOT, env=environment
        )
        await receiver.until(1)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        courier = office.courier(loopback_allowed=True, caller=loopback_caller())
        assert await office.deliver(courier) == 0
        # As if the time of the lease had passed.
        await office.run("UPDATE integration.webhook_deliveries SET leased_until = clock_timestamp()")
        receiver.respond = answering(200)
        assert await office.deliver(courier) == 1
        assert len({each.body for each in receiver.received}) == 1
    assert await office.states() == ["delivered"]
    assert await office.attempts() == [(2, 200, None)]


def loopback_caller() -> Any:
    from integration.webhooks.calling import Caller

    return Caller(loopback_allowed=True, total_seconds=5)
