"""Loading the state of a long stream into a process that has just started: from events, from a snapshot.

from events      the whole stream, read, decoded and folded
from snapshot    what the dispatcher does: the latest snapshot and what came after it, here 100 events
"""

import argparse
import tempfile
from datetime import date
from pathlib import Path
from uuid import UUID

from benchmarks.goods import new_id
from benchmarks.harness import Case, Operation, Result, Sample, interleaved, sample
from benchmarks.servers import durable_postgres, new_database
from write_model.dispatch.workspace import StateCache, Workspace
from write_model.message import Actor, Context, Event, stream_id_of
from write_model.stock.stock_item import StockItem, receive
from write_model.store.append import Appended, Decided, NewEvent, Submission
from write_model.store.migrations import upgrade
from write_model.store.personal_data import KeyRing
from write_model.store.snapshots import EVERY
from write_model.store.store import Store
from write_model.values.identifiers import ProductId, WarehouseId
from write_model.values.money import Money
from write_model.values.quantity import Quantity

_LENGTHS = (100, 1_000, 10_000)
_SINCE = 100
_A_SUBMISSION = 1_000
_DAY = date(2026, 1, 5)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing of its own."""


async def measure(options: argparse.Namespace) -> list[Result]:
    """Streams of a hundred events, a thousand, ten thousand."""
    results: list[Result] = []
    with durable_postgres() as server, tempfile.TemporaryDirectory() as folder:
        url = new_database(server, "streams")
        upgrade(url)
        store = await Store.open(url, KeyRing.create(Path(folder) / "root.key"), new_id)
        try:
            for length in _LENGTHS:
                cases = await _cases(store, length)
                results += await interleaved(cases, options.rounds, options.seconds)
        finally:
            await store.close()
    return results


async def _cases(store: Store, length: int) -> list[Case]:
    company, key = new_id(), f"{new_id()}/{new_id()}"
    stream = stream_id_of(company, StockItem.kind, key)
    snapshot = await _fill(store, company, stream, length)

    async def from_events(worker: int) -> int:
        item = StockItem()
        for fact in (await store.read_on(company, {stream: 0}))[stream]:
            item.apply(fact.event)  # type: ignore[arg-type]
        assert item.on_hand == Quantity(length)
        return 1

    async def from_snapshot(worker: int) -> int:
        workspace = Workspace(store, StateCache(), company, new_id)
        workspace.begin(_context(company))
        assert (await workspace.load(StockItem, key)).on_hand == Quantity(length)
        return 1

    cases = [_case("from events", length, from_events)]
    if snapshot:
        cases.append(_case("from snapshot", length, from_snapshot))
    return cases


async def _fill(store: Store, company: UUID, stream: UUID, length: int) -> bool:
    """Write the stream, and a snapshot of it before its last events; whether it is long enough for one."""
    item, facts = StockItem(), list[Event]()
    for version in range(1, length + 1):
        (fact,) = receive(
            item,
            warehouse_id=WarehouseId(company),
            product_id=ProductId(company),
            quantity=Quantity(1),
            value=Money(100),
            origin="receipt",
        )
        item.apply(fact)  # type: ignore[arg-type]
        facts.append(fact)
        if length > EVERY and version == length - _SINCE:
            store.keep_snapshot(company, stream, version, item)
    for first in range(0, length, _A_SUBMISSION):
        news = tuple(
            NewEvent(stream_id=stream, version=version, event_id=new_id(), event=fact)
            for version, fact in enumerate(facts[first : first + _A_SUBMISSION], start=first + 1)
        )
        command = Decided(context=_context(company), topic="benchmark", events=news, answer="{}")
        submission = Submission(company_id=company, commands=(command,), expectations={stream: first})
        assert isinstance(await store.append(submission), Appended)
    await store.kept()
    return length > EVERY


def _context(company: UUID) -> Context:
    return Context(
        company_id=company,
        actor=Actor("user", company),
        command_id=new_id(),
        correlation_id=company,
        idempotency_key=str(new_id()),
        body_hash=b"",
        effective_date=_DAY,
        today=_DAY,
    )


def _case(workload: str, length: int, operation: Operation) -> Case:
    async def run(seconds: float) -> Sample:
        return await sample(operation, 1, seconds)

    return Case(
        workload=f"{workload}, {length}",
        peer="ccontrol",
        concurrency=1,
        run=run,
        unit="loads/s",
        notes={"events": length},
    )
