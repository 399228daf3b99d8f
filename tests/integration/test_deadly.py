"""An event that kills whoever handles it is given up; those that were on the way beside it are not."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

import pytest
from psycopg_pool import AsyncConnectionPool

from integration.broker import Subscription
from integration.dead_letters import listed
from integration.event import IntegrationEvent
from integration.rabbitmq import RabbitMQ
from projections.connections import Connection
from tests.integration import deadly_process
from tests.integration.conftest import MakeBroker
from tests.integration.happenings import happening
from tests.integration.listening import consuming, eventually, first_of

pytestmark = pytest.mark.asyncio

Pool = AsyncConnectionPool[Connection]

ALL = Subscription(queue="all", patterns=("#",), deliveries_max=2, concurrency=16)
INNOCENT = 30


def _neighbours() -> tuple[IntegrationEvent, list[IntegrationEvent]]:
    """One of them deadly, and those that wait for their turn behind it, or are handled beside it."""
    deadly, *behind = (happening("one", n) for n in range(1, INNOCENT // 2 + 1))
    return deadly, [*behind, *(happening(f"beside {n}") for n in range(INNOCENT // 2))]


async def _buried(pool: Pool) -> list[str]:
    async with pool.connection() as connection:
        return [letter.message_id for letter in await listed(connection)]


async def _publish(make_broker: MakeBroker, events: Sequence[IntegrationEvent]) -> None:
    async with make_broker().publisher() as publisher:
        assert (await publisher.publish(events)).failure is None


class _Processes:
    """One after the other; each dies, as far as the broker can tell, when it handles the deadly one."""

    def __init__(self, make_broker: MakeBroker, deadly: IntegrationEvent) -> None:
        self._make_broker = make_broker
        self._deadly = deadly
        self.handled: set[str] = set()
        self._died = asyncio.Event()

    async def _handle(self, event: IntegrationEvent) -> None:
        if event.id == self._deadly.id:
            self._died.set()
        if self._died.is_set():
            await asyncio.sleep(600)
        self.handled.add(event.public_id)

    async def one(self, until: asyncio.Task[None]) -> None:
        """Consume until it dies."""
        self._died.clear()
        async with consuming(self._make_broker(), ALL, self._handle):
            await first_of(self._dead(), _over(until))

    async def _dead(self) -> None:
        await self._died.wait()


async def _over(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)


@pytest.mark.parametrize("before", [0, 1], ids=["at once", "in full swing"])
async def test_only_the_deadly_one_is_given_up(make_broker: MakeBroker, pool: Pool, before: int) -> None:
    await make_broker().declare([ALL])
    deadly, innocent = _neighbours()
    harmless = [happening("before", n) for n in range(before)]
    await _publish(make_broker, [*harmless, deadly, *innocent])
    processes = _Processes(make_broker, deadly)
    over = asyncio.create_task(eventually(lambda: _everything_is_dealt_with(pool, processes, innocent)))
    deaths = 0
    while not over.done():
        await processes.one(over)
        deaths += 1
    await over
    assert await _buried(pool) == [deadly.public_id]
    assert deaths <= ALL.deliveries_max + 2


async def test_two_processes_that_are_killed_take_nothing_else_with_them(
    make_broker: MakeBroker, pool: Pool, delivery_url: str
) -> None:
    """Real ones, each started again whenever it dies: the other stands by, and takes over what it had."""
    broker = make_broker()
    await broker.declare([deadly_process.ALL])
    deadly, innocent = _neighbours()
    harmless = [happening(f"before {n}") for n in range(10)]
    handled: set[str] = set()
    deaths: list[int] = []
    where = [delivery_url, "", ""]
    if isinstance(broker, RabbitMQ):
        where = [delivery_url, str(broker._url), broker._prefix]

    async def keep_alive() -> None:
        while True:
            arguments = ["-m", "tests.integration.deadly_process", *where, deadly.public_id]
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdout=asyncio.subprocess.PIPE
            )
            try:
                assert process.stdout is not None
                async for line in process.stdout:
                    handled.add(line.decode().split()[1])
                deaths.append(await process.wait())
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    both = [asyncio.create_task(keep_alive()) for _ in range(2)]
    try:
        await _publish(make_broker, harmless)
        await eventually(lambda: _are_in(handled, harmless))
        await _publish(make_broker, [deadly, *innocent])
        await eventually(lambda: _are_in(handled, innocent))
        await eventually(lambda: _is_buried(pool))
    finally:
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    assert await _buried(pool) == [deadly.public_id]
    assert set(deaths) == {-signal.SIGKILL}


async def _are_in(handled: set[str], events: Sequence[IntegrationEvent]) -> bool:
    return handled >= {event.public_id for event in events}


async def _is_buried(pool: Pool) -> bool:
    return bool(await _buried(pool))


async def _everything_is_dealt_with(
    pool: Pool, processes: _Processes, innocent: Sequence[IntegrationEvent]
) -> bool:
    await asyncio.sleep(0.05)
    buried = set(await _buried(pool))
    return bool(buried) and processes.handled | buried >= {event.public_id for event in innocent}
