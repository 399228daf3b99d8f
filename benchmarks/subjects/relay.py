"""The relay: from the log to the broker, beside a publisher that does nothing else.

local       the relay, into the tables of the database that stand in for a broker
rabbitmq    the relay, into a queue of RabbitMQ: durable, replicated, confirmed, mandatory
aio-pika    the same bodies, made beforehand, published by the library as fast as it can be with as many on
            their way; reads no log, keeps no order per stream, moves no checkpoint

Everybody sends all events of one partition. In the log each stream has one event, or ten in a row.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import aio_pika

from benchmarks.goods import COMPANY
from benchmarks.harness import Case, Result, Sample, interleaved, say
from benchmarks.peers.ccontrol import Peer, submission
from benchmarks.servers import durable_postgres, new_database
from integration import bookkeeping, relay
from integration.broker import Broker, Subscription
from integration.event import IntegrationEvent, told
from integration.local import LocalBroker
from integration.rabbitmq import RabbitMQ
from projections.connections import connect, open_pool
from runtime.servers import RabbitMQServer
from write_model.store.append import Appended, Submission
from write_model.store.log import Log

_ALL = Subscription(queue="all", patterns=("#",))
_STREAMS = (1, 10)
_A_SUBMISSION = 1_000
_IN_FLIGHT = 256
_LOOK_SECONDS = 0.02
_PAGE_EVENTS = 500

Run = Callable[[float], Awaitable[Sample]]


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many events there are to be told."""
    parser.add_argument("--events", type=int, default=10_000, help="in the log, told again in each round")


async def measure(options: argparse.Namespace) -> list[Result]:
    """Both lengths of streams, each in a database of its own."""
    results: list[Result] = []
    with durable_postgres() as server, tempfile.TemporaryDirectory() as folder:
        rabbitmq = RabbitMQServer(Path(folder) / "rabbitmq")
        rabbitmq.start()
        try:
            for length in _STREAMS:
                url = new_database(server, f"streams_of_{length}")
                async with AsyncExitStack() as stack:
                    events = await _filled(url, options.events // length, length)
                    pool = await stack.enter_async_context(open_pool(url, size=6))
                    broker = RabbitMQ(rabbitmq.url, pool, prefix=f"relay-{length}")
                    stack.push_async_callback(broker.close)
                    bare = await stack.enter_async_context(_bare(rabbitmq.url, events, f"bare-{length}"))
                    local = LocalBroker(url, pool)
                    peers: dict[str, Run] = {
                        "local": _relaying(url, local, len(events)),
                        "rabbitmq": _relaying(url, broker, len(events)),
                        "aio-pika": bare,
                    }
                    cases = [
                        Case(
                            workload=f"streams of {length}",
                            peer=name,
                            concurrency=_IN_FLIGHT,
                            run=run,
                            unit="events/s",
                            server=server.pid,
                        )
                        for name, run in peers.items()
                    ]
                    results += await interleaved(cases, options.rounds, options.seconds)
        finally:
            rabbitmq.kill()
    return results


async def _filled(url: str, streams: int, length: int) -> list[IntegrationEvent]:
    """So many streams in the log; what is told of them."""
    peer = Peer()
    await peer.open(url)
    try:
        await bookkeeping.ensure(url)
        parts = [submission(uuid4(), 0, length) for _ in range(streams)]
        for start in range(0, streams, _A_SUBMISSION // length):
            some = parts[start : start + _A_SUBMISSION // length]
            whole = Submission(
                company_id=COMPANY,
                commands=tuple(command for part in some for command in part.commands),
                expectations={stream: 0 for part in some for stream in part.expectations},
            )
            verdict = await peer.store.append(whole)
            assert isinstance(verdict, Appended)
        partition = peer.store.partition_of(COMPANY)
    finally:
        await peer.close()
    log = await Log.open(url, None)
    try:
        events: list[IntegrationEvent] = []
        while page := await log.page(partition, len(events), _PAGE_EVENTS):
            events += map(told, page)
        return events
    finally:
        await log.close()


def _relaying(url: str, broker: Broker, events: int) -> Run:
    """The relay, from nothing told to everything told."""

    @asynccontextmanager
    async def open_log() -> AsyncIterator[Log]:
        log = await Log.open(url, None)
        try:
            yield log
        finally:
            await log.close()

    async def run(seconds: float) -> Sample:
        async with await connect(url) as connection:
            await connection.execute("UPDATE integration.relay SET position = 0")
            await connection.execute("DELETE FROM integration.local_messages")
            begun = time.perf_counter()
            task = asyncio.create_task(relay.run(url, open_log, broker, [_ALL], owner=uuid4().hex))
            question = "SELECT coalesce(sum(position), 0) FROM integration.relay"
            while (await (await connection.execute(question)).fetchall())[0][0] < events:
                assert not task.done()
                await asyncio.sleep(_LOOK_SECONDS)
            taken = time.perf_counter() - begun
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        return Sample(events, taken, [])

    return run


@asynccontextmanager
async def _bare(url: str, events: list[IntegrationEvent], name: str) -> AsyncIterator[Run]:
    """The library alone."""
    ready = [(event.routing_key, event.to_json(), event.public_id) for event in events]
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.declare_exchange(name, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(exchange, "#")

        async def run(seconds: float) -> Sample:
            window = asyncio.Semaphore(_IN_FLIGHT)

            async def send(key: str, body: bytes, message_id: str) -> None:
                async with window:
                    message = aio_pika.Message(
                        body, message_id=message_id, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
                    )
                    await exchange.publish(message, key, mandatory=True)

            begun = time.perf_counter()
            await asyncio.gather(*(send(*each) for each in ready))
            taken = time.perf_counter() - begun
            say(f"aio-pika {len(ready) / taken:,.0f} events/s")
            return Sample(len(ready), taken, [])

        yield run
