"""The event store: appends, batches, hot streams, loads, catch-up reads, and what size costs.

append      single-event commands on new streams, so many in flight
batch       one command with so many events, one at a time and four in flight
contended   32 workers append to 10 hot streams, each at the right version; nothing lost, nothing doubled
load        a stream of 100 events, read and folded, nothing cached
catch-up    the whole log, page by page, decoded
size        appends to stores that hold 1,000 events, 100,000, … already
"""

import argparse
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from benchmarks.bars import Bar
from benchmarks.goods import new_id
from benchmarks.harness import BlockingOperation, Case, Operation, Result, Sample, interleaved, sample, say
from benchmarks.peers import StorePeer, installed
from benchmarks.peers.ccontrol import Peer as Ccontrol
from benchmarks.servers import durable_postgres, new_database
from benchmarks.store_size import against_size

_IN_FLIGHT = (1, 8, 64)
_BATCHES = (10, 100, 1000)
_BATCHES_IN_FLIGHT = (1, 4)
_HOT_STREAMS, _HOT_WORKERS = 10, 32
_STREAM_EVENTS, _STREAMS, _LOADERS = 100, 20, 8
_PAGE = 1000
_COMPANIES = 64

_LIBRARIES = ("eventsourcing", "eventsource-py")
_BARE = ("psycopg",)
BARS = (
    Bar(workload="append", concurrency=64, at_least=5, peers=_LIBRARIES),
    Bar(workload="append", concurrency=64, at_least=2, peers=_BARE),
    Bar(workload="append", concurrency=1, at_least=0.6, peers=_BARE),
    Bar(workload="contended", concurrency=_HOT_WORKERS, at_least=10, peers=_LIBRARIES),
    Bar(workload="batch of 1000", concurrency=1, at_least=0.8, peers=_BARE),
    Bar(workload=f"load of {_STREAM_EVENTS} events", concurrency=_LOADERS, at_least=0.6, peers=_BARE),
    *(
        Bar(
            workload=f"append at {size:,}",
            concurrency=concurrency,
            at_least=0.9,
            peers=("ccontrol",),
            against="append at 1,000",
        )
        for size in (100_000, 1_000_000, 10_000_000)
        for concurrency in (1, 64)
    ),
)

Group = list[Case]
"""Cases that take turns."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be left out, and how large a store is worth the wait."""
    parser.add_argument("--peer", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument(
        "--workload", action="append", choices=[*_WORKLOADS, "size"], help="only this; may be repeated"
    )
    parser.add_argument(
        "--size-max", type=int, default=100_000, help="the largest store to append to (10000000: an hour)"
    )


async def measure(options: argparse.Namespace) -> list[Result]:
    """Every workload, every peer."""
    wanted = options.workload or [*_WORKLOADS, "size"]
    results: list[Result] = []
    with durable_postgres() as server:
        peers = installed(options.peer)
        for peer in peers:
            await peer.open(new_database(server, "peer_" + peer.name.replace("-", "_")))
            say(f"{peer.name} {peer.version}: {peer.does}")
        try:
            for name, groups in _WORKLOADS.items():
                if name in wanted:
                    for group in await groups(peers):
                        cases = [replace(case, server=server.pid) for case in group]
                        results += await interleaved(cases, options.rounds, options.seconds)
        finally:
            for peer in peers:
                await peer.close()
        if "size" in wanted:
            results += await against_size(server, options.size_max, options.rounds, options.seconds)
    return results


async def _appends(peers: Sequence[StorePeer]) -> list[Group]:
    groups = [
        [_case("append", peer, concurrency, peer.append(1)) for peer in peers] for concurrency in _IN_FLIGHT
    ]
    companies = [new_id() for _ in range(_COMPANIES)]
    groups[-1] += [
        _case("append, 64 companies", peer, _IN_FLIGHT[-1], peer.append(1, companies))
        for peer in peers
        if isinstance(peer, Ccontrol)
    ]
    return groups


async def _batches(peers: Sequence[StorePeer]) -> list[Group]:
    def group(size: int, concurrency: int) -> Group:
        cases = [_case(f"batch of {size}", peer, concurrency, peer.append(size)) for peer in peers]
        cases += [
            _case(f"{size} commands at once", peer, concurrency, peer.append_commands(size))
            for peer in peers
            if isinstance(peer, Ccontrol)
        ]
        return [replace(case, unit="events/s", notes={**case.notes, "batch": size}) for case in cases]

    return [group(size, concurrency) for size in _BATCHES for concurrency in _BATCHES_IN_FLIGHT]


async def _contended(peers: Sequence[StorePeer]) -> list[Group]:
    cases = []
    for peer in peers:
        ways = {"contended": peer.contended}
        if isinstance(peer, Ccontrol):
            ways["contended, unordered"] = peer.contended_unordered
        for name, way in ways.items():
            streams = [new_id() for _ in range(_HOT_STREAMS)]
            case = _case(name, peer, _HOT_WORKERS, way(streams))
            cases.append(replace(case, run=_exactly_once(peer, streams, case.run)))
    return [cases]


def _exactly_once(
    peer: StorePeer, streams: Sequence[object], run: Callable[[float], Awaitable[Sample]]
) -> Callable[[float], Awaitable[Sample]]:
    """The same measurement, followed by a count: every success is there once, and nothing else is."""
    successes = 0

    async def checked(seconds: float) -> Sample:
        nonlocal successes
        taken = await run(seconds)
        successes += taken.units
        counts = await peer.counts(streams)  # type: ignore[arg-type]
        assert sum(count for count, _ in counts) == successes, f"{peer.name} lost or doubled events"
        assert all(count == version for count, version in counts), f"{peer.name} left a gap in a stream"
        return taken

    return checked


async def _loads(peers: Sequence[StorePeer]) -> list[Group]:
    cases = []
    for peer in peers:
        streams = [new_id() for _ in range(_STREAMS)]
        for stream in streams:
            await peer.fill(stream, _STREAM_EVENTS)
        case = _case(f"load of {_STREAM_EVENTS} events", peer, _LOADERS, peer.load(streams))
        cases.append(replace(case, unit="loads/s"))
    return [cases]


async def _catch_ups(peers: Sequence[StorePeer]) -> list[Group]:
    for peer in peers:
        for _ in range(10):
            await peer.fill(new_id(), _PAGE)
    cases = [_case("catch-up", peer, 1, peer.catch_up(_PAGE)) for peer in peers]
    return [[replace(case, unit="events/s", notes={**case.notes, "page": _PAGE}) for case in cases]]


def _case(workload: str, peer: StorePeer, concurrency: int, operation: Operation | BlockingOperation) -> Case:
    async def run(seconds: float) -> Sample:
        return await sample(operation, concurrency, seconds)

    return Case(
        workload=workload,
        peer=peer.name,
        concurrency=concurrency,
        run=run,
        notes={"version": peer.version},
    )


_WORKLOADS: dict[str, Callable[[Sequence[StorePeer]], Awaitable[list[Group]]]] = {
    "append": _appends,
    "batch": _batches,
    "contended": _contended,
    "load": _loads,
    "catch-up": _catch_ups,
}
