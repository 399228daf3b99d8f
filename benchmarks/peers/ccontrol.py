"""This product: `Store.append` and everything it does."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from benchmarks.goods import ACTOR, COMPANY, FACTS, new_id
from benchmarks.harness import Operation
from write_model.message import Actor, Context
from write_model.stock.stock_item import StockItem
from write_model.store.append import Appended, Conflicted, Decided, NewEvent, Submission
from write_model.store.log import Log
from write_model.store.migrations import upgrade
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store

_DAY = date(2026, 11, 23)
_ACTOR = Actor("user", ACTOR)
# About as long as the answers the dispatcher stores.
_ANSWER = json.dumps({"resource": "stock_item", "state": {"on_hand": "1.0000"}, "version": 1, "events": []})


class Peer:
    """All of it in one partition, unless `companies` are given."""

    name = "ccontrol"
    version = version("ccontrol-m")
    does = (
        "the full path: event codec, idempotency record, expected versions, dense positions in commit order, "
        "hash chain, row level security; concurrent commands share a transaction"
    )

    def __init__(self) -> None:
        self.store: Store
        self._log: Log
        self._keys = TemporaryDirectory(prefix="ccontrol-benchmark-")
        self._versions: dict[UUID, int] = {}
        self._turns: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def open(self, url: str) -> None:
        await asyncio.to_thread(upgrade, url)
        ring = KeyRing.create(Path(self._keys.name) / "root.key")
        self.store = await Store.open(url, ring, new_id, readers_max=8)
        self._log = await Log.open(url, ring)

    async def close(self) -> None:
        await self._log.close()
        await self.store.close()
        self._keys.cleanup()

    def append(self, events: int, companies: Sequence[UUID] = (COMPANY,)) -> Operation:
        async def operation(worker: int) -> int:
            company_id = companies[worker % len(companies)]
            await self._appended(submission(new_id(), 0, events, company_id))
            return events

        return operation

    def append_commands(self, commands: int) -> Operation:
        """One submission of so many commands, each with an event of its own stream and an answer."""

        async def operation(worker: int) -> int:
            parts = [submission(new_id(), 0, 1) for _ in range(commands)]
            whole = Submission(
                company_id=COMPANY,
                commands=tuple(command for part in parts for command in part.commands),
                expectations={stream: 0 for part in parts for stream in part.expectations},
            )
            await self._appended(whole)
            return commands

        return operation

    def contended(self, streams: Sequence[UUID]) -> Operation:
        """As the dispatcher does it: commands on one stream take turns, and remember its version."""

        async def operation(worker: int) -> int:
            stream = random.choice(streams)
            async with self._turns[stream]:
                while True:
                    version = self._versions.get(stream, 0)
                    verdict = await self.store.append(submission(stream, version, 1))
                    if isinstance(verdict, Appended):
                        self._versions[stream] = version + 1
                        return 1
                    self._versions |= await self.store.versions(COMPANY, [stream])

        return operation

    def contended_unordered(self, streams: Sequence[UUID]) -> Operation:
        """As several processes would: nobody knows of the others, everybody looks, tries and looks again."""

        async def operation(worker: int) -> int:
            stream = random.choice(streams)
            while True:
                versions = await self.store.versions(COMPANY, [stream])
                verdict = await self.store.append(submission(stream, versions[stream], 1))
                if isinstance(verdict, Appended):
                    return 1
                assert isinstance(verdict, Conflicted)

        return operation

    async def counts(self, streams: Sequence[UUID]) -> list[tuple[int, int]]:
        recorded = await self.store.read_streams(COMPANY, streams)
        return [(len(recorded[s]), recorded[s][-1].version if recorded[s] else 0) for s in streams]

    async def fill(self, stream: UUID, events: int) -> None:
        await self._appended(submission(stream, 0, events))

    def load(self, streams: Sequence[UUID]) -> Operation:
        async def operation(worker: int) -> int:
            stream = random.choice(streams)
            item = StockItem()
            for fact in (await self.store.read_on(COMPANY, {stream: 0}))[stream]:
                item.apply(fact.event)  # type: ignore[arg-type]
            return 1

        return operation

    def catch_up(self, page: int) -> Operation:
        partition, after = self.store.partition_of(COMPANY), 0

        async def operation(worker: int) -> int:
            nonlocal after
            events = await self._log.page(partition, after, page)
            after = events[-1].position if len(events) == page else 0
            return len(events)

        return operation

    async def _appended(self, one: Submission) -> None:
        verdict = await self.store.append(one)
        assert isinstance(verdict, Appended), verdict


def submission(stream: UUID, version: int, events: int, company_id: UUID = COMPANY) -> Submission:
    """One command that records goods received in one stream."""
    context = Context(
        company_id=company_id,
        actor=_ACTOR,
        command_id=new_id(),
        correlation_id=new_id(),
        idempotency_key=str(new_id()),
        body_hash=_BODY,
        effective_date=_DAY,
        today=_DAY,
    )
    news = tuple(
        NewEvent(stream_id=stream, version=number, event_id=new_id(), event=FACTS[number % len(FACTS)])
        for number in range(version + 1, version + events + 1)
    )
    expected: Mapping[UUID, int] = {stream: version}
    return Submission(
        company_id=company_id,
        commands=(Decided(context=context, topic="stock.receive", answer=_ANSWER, events=news),),
        expectations=expected,
    )


_BODY = bytes(32)
