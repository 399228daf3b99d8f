"""Everything that can break breaks, under load, at moments nobody chose; then outsiders check the history.

A few cycles by default. `CCONTROL_CRASH_CYCLES=40 ./test -s tests/faults/test_crash.py` makes that many of
each kind, `CCONTROL_CRASH_KINDS="kill all,kill api"` only of these kinds, and `CCONTROL_CRASH_SEED` other
dice.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.checker import Remembered, check, report
from tests.faults.house import House, opened
from tests.faults.load import Clients, Journal, Trade
from tests.faults.proxy import CUTS, Choice

CYCLES = int(os.environ.get("CCONTROL_CRASH_CYCLES", "0"))
SEED = int(os.environ.get("CCONTROL_CRASH_SEED", "11"))
# By default what needs no new process, and once everything: starting Python is what takes the time.
KINDS = os.environ.get("CCONTROL_CRASH_KINDS") or (
    "" if CYCLES else "kill postgres,stop sessions,cut database,cut web,kill all"
)
WORKERS = 16

pytestmark = [pytest.mark.asyncio, pytest.mark.service, pytest.mark.timeout(300 + 120 * CYCLES)]


@dataclass
class Scene:
    """A house at work, and what is known of it from outside."""

    house: House
    clients: Clients
    trades: list[Trade]
    journal: Journal
    remembered: Remembered
    dice: random.Random
    workers: int

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Clients ask for one thing after the other; in the end all have the answer to what they asked."""
        closing = asyncio.Event()

        async def work() -> None:
            while not closing.is_set():
                await self.dice.choice(self.trades).step()

        async with asyncio.timeout(180), asyncio.TaskGroup() as tasks:
            for _ in range(self.workers):
                tasks.create_task(work())
            yield
            closing.set()

    async def verify(self) -> None:
        """Everything that was promised holds, and what was acknowledged is acknowledged again."""
        accepted = self.journal.accepted()
        for asked in self.dice.sample(accepted, min(10, len(accepted))):
            if asked.path:
                await self.trades[0].repeat(asked)
        self.remembered.journal = self.journal.lines()
        found = await asyncio.to_thread(check, self.house.postgres.url, self.remembered)
        assert not any(found.values()), report(found)
        assert not self.journal.violations, "\n".join(self.journal.violations[:20])


@asynccontextmanager
async def scene_of(house: House, workers: int = WORKERS) -> AsyncIterator[Scene]:
    """Clients at work until the end."""
    dice = random.Random(SEED)
    journal = Journal(house.directory / "journal.jsonl")
    urls = [f"http://127.0.0.1:{wire.port}" for wire in house.web_wires]
    clients = Clients(urls, journal, house.sign_in, dice)
    trades = [
        Trade(clients, company, dice) for company in (house.company, await second_company(clients, house))
    ]
    for trade in trades:
        await trade.open()
    try:
        yield Scene(house, clients, trades, journal, Remembered(), dice, workers)
    finally:
        await clients.close()
        journal.close()


async def second_company(clients: Clients, house: House) -> str:
    """Of another partition or of the same, as its id has it."""
    made = await clients.ask(house.company, "/v1/companies", {"legal_name": "Segunda Empresa"}, quietly=True)
    made.company = str(made.answer["resource"]["id"])
    clients.journal.asked.append(made)
    await clients.ask(made.company, "/v1/commands/ledger.adopt_chart", {})
    return made.company


async def kill_postgres(scene: Scene) -> None:
    """As a power cut would, in the middle of whatever it does."""
    await asyncio.to_thread(scene.house.postgres.kill)


async def kill_one_session(scene: Scene) -> None:
    """PostgreSQL then ends all others and recovers by itself."""
    pids = scene.house.sessions()
    if pids:
        with suppress(ProcessLookupError):
            os.kill(scene.dice.choice(pids), signal.SIGKILL)
    await asyncio.sleep(0.5)


async def kill_api(scene: Scene) -> None:
    """One process of the doors; what it was about to answer is never answered."""
    own = scene.dice.choice(scene.house.apis)
    os.kill(own.pid, signal.SIGKILL)
    await asyncio.sleep(0.2)


async def kill_all(scene: Scene) -> None:
    """The machine goes dark."""
    for own in (*scene.house.apis, scene.house.projector):
        os.kill(own.pid, signal.SIGKILL)
    await asyncio.to_thread(scene.house.postgres.kill)


async def end_api(scene: Scene) -> None:
    """As a deployment does, politely, under load."""
    own = scene.dice.choice(scene.house.apis)
    await asyncio.to_thread(own.stop)


async def stop_sessions(scene: Scene) -> None:
    """Sessions stand still in the middle of a transaction, perhaps holding the lock, and go on."""
    for _ in range(4):
        pids = scene.house.sessions()
        chosen = scene.dice.sample(pids, min(4, len(pids)))
        for pid in chosen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(scene.dice.uniform(0.05, 0.4))
        finally:
            for pid in chosen:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.05)


async def cut_database(scene: Scene) -> None:
    """Resets between the doors and PostgreSQL, at every point of every second or third request."""
    scene.house.database_wire.choose = _sometimes(scene, 0.3)
    await asyncio.sleep(1.5)


async def cut_web(scene: Scene) -> None:
    """Resets between the clients and the doors."""
    for wire in scene.house.web_wires:
        wire.choose = _sometimes(scene, 0.3)
    await asyncio.sleep(1.5)


def _sometimes(scene: Scene, share: float) -> Callable[[str], Choice]:
    return lambda request: scene.dice.choice(tuple(CUTS)) if scene.dice.random() < share else None


Trouble = Callable[[Scene], Awaitable[None]]
TROUBLES: Mapping[str, Trouble] = {
    "kill postgres": kill_postgres,
    "kill api": kill_api,
    "kill all": kill_all,
    "kill one session": kill_one_session,
    "end api": end_api,
    "stop sessions": stop_sessions,
    "cut database": cut_database,
    "cut web": cut_web,
}


async def test_nothing_acknowledged_is_lost_and_nothing_happens_twice(tmp_path: Path) -> None:
    kinds = KINDS.split(",") if KINDS else list(TROUBLES)
    async with opened(tmp_path) as house, scene_of(house) as scene:
        for number in range(max(CYCLES, 1)):
            for name in kinds:
                async with scene.at_work():
                    await asyncio.sleep(scene.dice.uniform(0.2, 0.6))
                    await TROUBLES[name](scene)
                    await asyncio.sleep(scene.dice.uniform(0, 0.3))
                    await house.heal()
                    await asyncio.sleep(0.2)
                await scene.verify()
                asked, seen = len(scene.journal.asked), dict(scene.journal.seen)
                sys.stdout.write(f"cycle {number}, {name}: {asked} asked, all there; answers {seen}\n")
                sys.stdout.flush()
