"""Where the chains should end: the heads kept beside the events, and the checkpoints that were signed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg import Connection

from write_model.store.canonical import GENESIS
from write_model.store.chain_start import Start, start_of
from write_model.store.chain_walk import Violation, Walk
from write_model.store.partitions import partition_of
from write_model.store.sealing import statement


@dataclass(frozen=True, slots=True)
class Kept:
    """So many events of this company once ended in this hash, says somebody outside the database."""

    company_id: UUID
    length: int
    hash: bytes


class HeadsCheck:
    """Reads what was promised before the walk, and compares it with what was found after."""

    def __init__(
        self,
        connection: Connection[Any],
        company: UUID | None,
        public_keys: Mapping[str, bytes] | None,
        kept: Sequence[Kept],
    ) -> None:
        self.violations: list[Violation] = []
        self._company = company
        self._kept = [head for head in kept if company in (None, head.company_id)]
        self._partition_heads: dict[int, int] = dict(
            connection.execute("SELECT partition, position FROM ccontrol.partition_heads").fetchall()
        )
        # Not the number of heads: somebody may have taken one away, and its events with it.
        ((self.partition_count,),) = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ccontrol.events'::regclass"
        ).fetchall()
        self._chain_heads: dict[UUID, tuple[int, int, bytes]] = {
            company_id: (partition, length, bytes(head))
            for partition, company_id, length, head in connection.execute(
                "SELECT partition, company_id, length, hash FROM ccontrol.chain_heads"
            )
        }
        self._checkpoints = connection.execute(
            "SELECT partition, company_id, length, hash, key_id, signature FROM ccontrol.checkpoints"
        ).fetchall()
        published = connection.execute("SELECT key_id, public_key FROM ccontrol.sealing_keys").fetchall()
        self._public_keys = dict(public_keys if public_keys is not None else published)
        self._rightly_signed = [
            self._is_signed(company_id, length, bytes(signed_hash), key_id, bytes(signature))
            for _, company_id, length, signed_hash, key_id, signature in self._checkpoints
        ]
        self.wanted: dict[UUID, set[int]] = defaultdict(set)
        """At which lengths the hash of each company's chain must be known, to be compared."""
        for _, company_id, length, *_ in self._checkpoints:
            self.wanted[company_id].add(length)
        for head in self._kept:
            self.wanted[head.company_id].add(head.length)

    @property
    def partitions(self) -> list[int]:
        """The partitions there are to read."""
        if self._company is not None:
            return [partition_of(self._company, self.partition_count)]
        return list(range(self.partition_count))

    def head_of(self, partition: int) -> int:
        """Where a partition should end."""
        return self._partition_heads.get(partition, 0)

    @property
    def total(self) -> int:
        """How many events there should be."""
        return sum(length for _, length, _ in self._chain_heads.values())

    def starts(self, connection: Connection[Any], partition: int) -> Start | None:
        """Where to begin in a partition when what was signed is not read again; None: at its first event."""
        signed = [
            (company_id, length, bytes(signed_hash))
            for (_, company_id, length, signed_hash, *_), rightly in zip(
                self._checkpoints, self._rightly_signed, strict=True
            )
            if rightly
        ]
        anchors: dict[UUID, tuple[int, bytes]] = {}
        for company_id, length, digest in [*signed, *((h.company_id, h.length, h.hash) for h in self._kept)]:
            anchors[company_id] = max(anchors.get(company_id, (0, GENESIS)), (length, digest))
        here = {
            company_id: length
            for company_id, (where, length, _) in self._chain_heads.items()
            if where == partition
        }
        for company_id in anchors:
            if partition_of(company_id, self.partition_count) == partition and company_id not in here:
                return None
        return start_of(connection, partition, self.head_of(partition), here, anchors)

    def compare(self, walk: Walk) -> None:
        """Note every head and checkpoint that is not where the walk came to."""
        if self._company is None:
            for partition, found in walk.last_positions.items():
                expected = self._partition_heads.get(partition)
                if found != expected:
                    self._report(
                        "partition-head-wrong",
                        "the last events of this partition are missing, or some were added behind its head",
                        partition,
                        None,
                        "a head" if expected is None else expected,
                        found,
                    )
        self._compare_chains(walk)
        self._compare_checkpoints(walk)
        self._compare_kept(walk)

    def _compare_chains(self, walk: Walk) -> None:
        for company_id in self._chain_heads.keys() | walk.heads.keys():
            partition, length, kept = self._chain_heads.get(
                company_id, (partition_of(company_id, self.partition_count), 0, GENESIS)
            )
            found = walk.heads.get(company_id, (0, GENESIS))
            if (length, kept) != found:
                self._report(
                    "chain-head-wrong",
                    "the chain of this company does not end at its head",
                    partition,
                    company_id,
                    f"{length} events, {kept.hex()}",
                    f"{found[0]} events, {found[1].hex()}",
                )

    def _compare_checkpoints(self, walk: Walk) -> None:
        for (partition, company_id, length, signed_hash, key_id, signature), rightly in zip(
            self._checkpoints, self._rightly_signed, strict=True
        ):
            found = walk.hashes_at.get((company_id, length))
            if length <= walk.believed.get(company_id, 0):
                pass
            elif found is None:
                self._report(
                    "checkpoint-ahead",
                    "the chain was longer when it was signed",
                    partition,
                    company_id,
                    f"at least {length} events",
                    f"{walk.heads.get(company_id, (0, GENESIS))[0]} events",
                )
            elif found != bytes(signed_hash):
                self._report(
                    "checkpoint-wrong",
                    "the chain had another hash when it was signed",
                    partition,
                    company_id,
                    bytes(signed_hash).hex(),
                    found.hex(),
                )
            if not rightly:
                self._report(
                    "signature-wrong",
                    "this checkpoint was not signed with the key it names",
                    partition,
                    company_id,
                    key_id,
                    bytes(signature).hex(),
                )

    def _compare_kept(self, walk: Walk) -> None:
        for head in self._kept:
            found = walk.hashes_at.get((head.company_id, head.length))
            if found != head.hash and head.length > walk.believed.get(head.company_id, 0):
                length = walk.heads.get(head.company_id, (0, GENESIS))[0]
                self._report(
                    "head-differs",
                    "the chain is not what it was when this head was kept",
                    partition_of(head.company_id, self.partition_count),
                    head.company_id,
                    f"{head.length} events, {head.hash.hex()}",
                    f"{length} events" if found is None else f"{head.length} events, {found.hex()}",
                )

    def _is_signed(
        self, company_id: UUID, length: int, signed_hash: bytes, key_id: str, signature: bytes
    ) -> bool:
        public_key = self._public_keys.get(key_id)
        if public_key is None:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(bytes(public_key)).verify(
                signature, statement(company_id, length, signed_hash)
            )
        except (InvalidSignature, ValueError):
            return False
        return True

    def _report(
        self,
        kind: str,
        meaning: str,
        partition: int,
        company_id: UUID | None,
        expected: object,
        found: object,
    ) -> None:
        self.violations.append(
            Violation(
                kind=kind,
                meaning=meaning,
                partition=partition,
                company_id=company_id,
                expected=str(expected),
                found=str(found),
            )
        )
