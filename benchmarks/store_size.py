"""What an append costs in a store that holds much already: one database per size, measured in turns.

The rows that are there before are as many and as wide as real ones and stand in the real tables, but their
hashes are none: the chain of a company continues from its head, which is set, so appending does not notice.
"""

from dataclasses import replace
from uuid import UUID

import psycopg

from benchmarks.goods import ACTOR, COMPANY, TEXTS, TOPIC
from benchmarks.harness import Case, Operation, Result, Sample, interleaved, sample, say
from benchmarks.peers.ccontrol import Peer
from benchmarks.servers import new_database
from runtime.servers import PostgresServer

_SIZES = (1_000, 100_000, 10_000_000)
_IN_FLIGHT = (1, 64)
_CHUNK = 500_000

# Ids as they are in life: streams and keys anywhere, commands and events in the order of time.
_EVENTS = """
    INSERT INTO ccontrol.events
    SELECT %(partition)s, n, %(company)s, gen_random_uuid(), 1, %(topic)s, 1, uuidv7(), '2026-11-23',
           '2026-11-23', 'user', %(actor)s, NULL, uuidv7(), uuidv7(), NULL, 'api', NULL, %(data)s,
           sha256(int8send(n - 1)), sha256(int8send(n))
    FROM generate_series(%(first)s::bigint, %(last)s) AS n
"""
_COMMANDS = """
    INSERT INTO ccontrol.commands
    SELECT %(partition)s, %(company)s, 'user', %(actor)s, gen_random_uuid()::text, sha256(int8send(n)),
           uuidv7(), 'stock.receive', 'recorded', '{"resource":"stock_item","version":1}', n, n, '2026-11-23'
    FROM generate_series(%(first)s::bigint, %(last)s) AS n
"""
_HEADS = """
    UPDATE ccontrol.partition_heads SET position = %(size)s WHERE partition = %(partition)s;
"""
_CHAIN_HEADS = """
    INSERT INTO ccontrol.chain_heads VALUES (%(partition)s, %(company)s, %(size)s, sha256(int8send(%(size)s)))
"""


async def against_size(server: PostgresServer, size_max: int, rounds: int, seconds: float) -> list[Result]:
    """Appends to a store of each size up to the largest."""
    sizes = sorted({*(size for size in _SIZES if size < size_max), size_max})
    peers: dict[int, Peer] = {}
    results: list[Result] = []
    try:
        for size in sizes:
            peers[size] = peer = Peer()
            url = new_database(server, f"size_{size}")
            await peer.open(url)
            say(f"filling a store with {size:,} events")
            _fill(url, peer.store.partition_of(COMPANY), size)
        for concurrency in _IN_FLIGHT:
            cases = [
                replace(_case(size, peer, concurrency), server=server.pid) for size, peer in peers.items()
            ]
            results += await interleaved(cases, rounds, seconds)
    finally:
        for peer in peers.values():
            await peer.close()
    return results


def _case(size: int, peer: Peer, concurrency: int) -> Case:
    operation: Operation = peer.append(1)

    async def run(seconds: float) -> Sample:
        return await sample(operation, concurrency, seconds)

    return Case(
        workload=f"append at {size:,}",
        peer=peer.name,
        concurrency=concurrency,
        run=run,
        notes={"events": size, "version": peer.version},
    )


def _fill(url: str, partition: int, size: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        given: dict[str, int | str | UUID] = {
            "partition": partition, "company": COMPANY, "actor": ACTOR, "topic": TOPIC, "data": TEXTS[0],
            "size": size,
        }  # fmt: skip
        for first in range(1, size + 1, _CHUNK):
            chunk = {**given, "first": first, "last": min(first + _CHUNK - 1, size)}
            connection.execute(_EVENTS, chunk)
            connection.execute(_COMMANDS, chunk)
        connection.execute(_HEADS, given)
        connection.execute(_CHAIN_HEADS, given)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
