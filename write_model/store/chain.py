"""Is the history what it was? The verifier reads every event once and says what does not hold.

It trusts nothing it can compute: hashes are made anew from the bytes, positions and versions counted, heads
and signed checkpoints compared with where the chain really stands. It only reads, within one snapshot, so
it may run beside writers. Each violation is a stable word:

    position-gap            a position of the partition is missing
    link-broken             an event does not follow on from the one before it in its company
    event-altered           an event's bytes are not those that were hashed
    version-gap             the versions of a stream are not 1, 2, 3, …
    event-repeated          an event id occurs twice
    topic-unknown           the topic or schema version is not in this program
    entry-unbalanced        the debits and credits of a journal entry differ
    reversal-of-nothing     what an event undoes was not recorded before it
    reversed-twice          what an event undoes was undone by another
    partition-wrong         a company's events stand in a partition that is not its own
    chain-head-wrong        the head kept for a company is not where its chain ends
    partition-head-wrong    the head kept for a partition is not its last position
    checkpoint-wrong        the chain did not have the hash that was signed
    checkpoint-ahead        something was signed that is no longer there
    signature-wrong         the signature of a checkpoint is not of the key it names
    head-differs            the chain did not have the hash that was kept outside the database
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from write_model.store import topics
from write_model.store.chain_heads import HeadsCheck, Kept
from write_model.store.chain_reversals import reversals
from write_model.store.chain_start import Start
from write_model.store.chain_walk import Violation, Walk
from write_model.store.connections import AUDITOR, conninfo

__all__ = ["Kept", "Progress", "Verification", "Violation", "verify"]


@dataclass(frozen=True, slots=True)
class Verification:
    """What was read, where each company's chain ends, and what does not hold."""

    events: int
    heads: Mapping[UUID, tuple[int, bytes]]
    """Length and hash of each company's chain, as computed."""
    violations: tuple[Violation, ...]
    skipped: int = 0
    """How many events were not read again, because they lie before a signed head."""

    @property
    def intact(self) -> bool:
        """Whether everything holds."""
        return not self.violations


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a verification is."""

    done: int
    total: int


def verify(
    url: str,
    *,
    company: UUID | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    public_keys: Mapping[str, bytes] | None = None,
    kept: Sequence[Kept] = (),
    since_last: bool = False,
) -> Verification:
    """Read the whole history, or that of one company, and check it.

    `public_keys` are those the checkpoints must be signed with, by key id. Without them the keys published
    in the database itself are taken, which proves nothing against somebody who can change that table too.
    `kept` are heads that were kept elsewhere. With `since_last`, what was signed is not read again, unless a
    signed head is not where it should be.
    """
    topics.load()
    with _two_views(url, company) as (one, other):
        check = HeadsCheck(one, company, public_keys, kept)
        walk = Walk(one, other, company, check.wanted)
        for partition in check.partitions:
            start = (check.starts(one, partition) if since_last else None) or Start()
            head = check.head_of(partition)
            after = start.after
            for _ in walk.partition(partition, head, check.partition_count, start):
                if on_progress is not None:
                    on_progress(Progress(walk.events, check.total - walk.skipped))
            walk.violations.extend(reversals(other, partition, after, company))
        walk.find_repeated_ids()
        check.compare(walk)
    return Verification(walk.events, dict(walk.heads), (*walk.violations, *check.violations), walk.skipped)


@contextmanager
def _two_views(url: str, company: UUID | None) -> Iterator[tuple[psycopg.Connection[Any], ...]]:
    """Two connections that see one snapshot."""
    settings = {} if company is None else {"ccontrol.company": str(company)}
    where = conninfo(url, AUDITOR, DateStyle="ISO", **settings)
    with psycopg.connect(where) as one, psycopg.connect(where) as other:
        for connection in (one, other):
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        ((snapshot,),) = one.execute("SELECT pg_export_snapshot()").fetchall()
        other.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
        yield one, other
