"""Projections: bringing a table of balances up to the log, exactly once, beside the peers.

catch-up    from nothing to the end of the log: events/s. Peers that take an event per transaction get a
            shorter log of the same facts.
rebuild     `ledger_lines` from a log of real business, in two processes, from nothing to being served
"""

import argparse
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.balances import BalancePeer, Bare, Ccontrol, EventsourcingRunner, expected, write_log
from benchmarks.bars import Bar
from benchmarks.harness import Case, Result, Sample, interleaved, say
from benchmarks.peers.emmett_projection import EmmettRunner, Missing
from benchmarks.rebuilding import PROCESSES, REBUILD, rebuild_case
from benchmarks.servers import durable_postgres, new_database
from projections.long_lived import collect_seldom
from runtime.servers import ValkeyServer

_CATCH_UP = "catch-up, balances"
# Faster than those who take an event per transaction: a longer log, so that starting does not count.
_EMMETT_TIMES = 5

BARS = (
    Bar(workload=_CATCH_UP, concurrency=1, at_least=0.7, peers=("bare psycopg",)),
    Bar(workload=_CATCH_UP, concurrency=1, at_least=20, peers=("emmett",)),
    Bar(workload=_CATCH_UP, concurrency=1, at_least=50, peers=("eventsourcing",)),
    Bar(workload=REBUILD, concurrency=PROCESSES, at_least=30_000),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """How long the logs are."""
    parser.add_argument("--events", type=int, default=200_000, help="of ours and of the bare consumer")
    parser.add_argument("--peer-events", type=int, default=2_000, help="of those who are slower")
    parser.add_argument("--rebuild-events", type=int, default=200_000, help="0 leaves the rebuild out")


async def measure(options: argparse.Namespace) -> list[Result]:
    """Catch-up in turns; then the rebuild."""
    # As the projector process does; here all peers have the good of it.
    collect_seldom()
    with (
        durable_postgres() as server,
        tempfile.TemporaryDirectory(prefix="ccontrol-projections-") as folder,
    ):
        valkey = ValkeyServer(Path(folder) / "valkey")
        valkey.start()
        try:
            key = Path(folder) / "root.key"
            url = new_database(server, "log")
            await write_log(url, key, options.events)
            library = EventsourcingRunner(new_database(server, "library"), options.peer_events)
            await library.open()
            peers: list[BalancePeer] = [
                Ccontrol(url, valkey.url, key, options.events),
                Bare(url, options.events),
                library,
            ]
            emmett = EmmettRunner(new_database(server, "emmett"), _EMMETT_TIMES * options.peer_events)
            try:
                await emmett.open()
                peers.append(emmett)
            except Missing as missing:
                say(f"{emmett.name} is left out: {missing}")
            for peer in peers:
                say(f"{peer.name}: {peer.does}")
            results = await interleaved(
                [_case(peer, server.pid) for peer in peers], options.rounds, options.seconds
            )
            if options.rebuild_events:
                case = await rebuild_case(
                    new_database(server, "business"), valkey.url, key, options.rebuild_events
                )
                case = replace(case, server=server.pid)
                results += await interleaved([case], options.rounds, options.seconds)
        finally:
            valkey.stop()
    return results


def _case(peer: BalancePeer, server: int) -> Case:
    return Case(
        workload=_CATCH_UP,
        peer=peer.name,
        concurrency=1,
        run=partial(_checked, peer),
        unit="events/s",
        notes={"events": peer.events, "version": peer.version},
        server=server,
    )


async def _checked(peer: BalancePeer, seconds: float) -> Sample:
    """The table must be exactly what the facts add up to, whoever filled it."""
    taken = await peer.catch_up()
    assert dict(await peer.balances()) == expected(peer.events), f"{peer.name} has other balances"
    return taken
