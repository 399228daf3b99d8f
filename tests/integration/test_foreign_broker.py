"""A RabbitMQ that others run: it refuses us, or stops in the middle. We say why, wait, and lose nothing."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest
from psycopg_pool import AsyncConnectionPool
from yarl import URL

from integration import amqp, consumers, rabbitmq
from integration.broker import PublishFailed, Subscription
from integration.event import IntegrationEvent
from integration.rabbitmq import RabbitMQ
from projections.connections import Connection
from runtime.servers import RabbitMQServer, debian
from tests.integration.listening import Listener, eventually
from tests.integration.test_relay import complaints, fill, in_order, recorded_ids, relaying
from tests.projections.sample import FakeLog

pytestmark = pytest.mark.asyncio

Pool = AsyncConnectionPool[Connection]

ALL = Subscription(queue="all", patterns=("#",), deliveries_max=1_000)
EVENTS = 120


def control(server: RabbitMQServer, *arguments: str) -> None:
    """What whoever runs the broker does to it."""
    entries = Path(f"/proc/{server.pid}/environ").read_text().split("\0")
    found = debian.rabbitmq()
    environment = {**dict(entry.split("=", 1) for entry in entries if "=" in entry), **found.environment}
    program = found.server.with_name("rabbitmqctl")
    subprocess.run([program, *arguments], env=environment, check=True, capture_output=True, timeout=60)


async def _complain(pool: Pool, of: str) -> bool:
    return any(of in said for said in await complaints(pool))


@pytest.mark.timeout(180)
async def test_a_broker_that_refuses_or_stops_loses_nothing(
    delivery_url: str, pool: Pool, private_rabbitmq: RabbitMQServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one test, as the broker takes a while to start."""
    control(private_rabbitmq, "add_user", "guest-of-others", "secret")
    control(private_rabbitmq, "set_permissions", "guest-of-others", "^$", ".*", ".*")
    url = str(URL(private_rabbitmq.url).with_user("guest-of-others").with_password("secret"))
    failed: set[object] = set()

    async def fail_once(event: IntegrationEvent) -> None:
        if not failed:
            failed.add(event.id)
            raise RuntimeError("not now")

    broker, log, listener = RabbitMQ(url, pool), FakeLog(), Listener(fail_once)
    await fill(log, EVENTS)
    consumer = consumers.Consumer(ALL, listener)
    consuming_process = asyncio.create_task(consumers.run(broker, pool, [consumer], owner="me"))
    async with relaying(delivery_url, log, broker, [ALL]):
        # It says what is missing, and goes on by itself once it is there.
        await eventually(lambda: _complain(pool, "ACCESS_REFUSED"))
        assert not consuming_process.done()
        # No more than docs/operations/broker.md asks for.
        ours = r"^ccontrol\..*"
        control(private_rabbitmq, "set_permissions", "guest-of-others", ours, rf"{ours}|^amq\.default$", ours)
        # The one that failed comes back by way of the queue for that.
        await listener.until(lambda: listener.ids() == recorded_ids(log) and len(listener.heard) > EVENTS)

        # It stops, as a machine does that swaps: nobody hangs up, and nobody answers.
        for module in (amqp, rabbitmq):
            monkeypatch.setattr(module, "CONFIRM_SECONDS", 1)
            monkeypatch.setattr(module, "CONNECT_SECONDS", 1)
        os.kill(private_rabbitmq.pid, signal.SIGSTOP)
        await fill(log, EVENTS)
        await eventually(lambda: _complain(pool, "TimeoutError"))
        os.kill(private_rabbitmq.pid, signal.SIGCONT)
        await listener.until(lambda: listener.ids() == recorded_ids(log))
    assert in_order(listener.first_versions())
    consuming_process.cancel()
    await asyncio.gather(consuming_process, return_exceptions=True)
    await broker.close()


async def test_what_keeps_us_out_is_said_without_the_password(rabbitmq_server: str, pool: Pool) -> None:
    for url in (
        URL(rabbitmq_server).with_password("wrong-secret"),
        URL(rabbitmq_server).with_path("/nowhere"),
        URL("amqp://someone:wrong-secret@127.0.0.1:1/"),
    ):
        with pytest.raises(PublishFailed) as refused:
            await RabbitMQ(str(url), pool).declare([ALL])
        assert "secret" not in str(refused.value)
        assert str(refused.value).startswith("the broker: ")
