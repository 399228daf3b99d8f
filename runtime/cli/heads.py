"""Where the chains end, kept outside the database: what a rewritten history can be held against."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from runtime.cli import instance
from runtime.cli.outcome import usage
from runtime.keys import CHECKPOINTS_KEY
from write_model.store.connections import AUDITOR, conninfo
from write_model.store.partitions import partition_of
from write_model.store.sealing import key_id_of, public_bytes
from write_model.values.identifiers import decode, encode
from write_model.values.invalid import Invalid

if TYPE_CHECKING:
    from write_model.store.chain import Verification

Heads = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Kept:
    """So many events of this company once ended in this hash."""

    company_id: UUID
    length: int
    hash: str


def of(verification: "Verification") -> Heads:
    """The heads a verification has computed, by company."""
    return {
        encode("cmp", company): {"length": length, "hash": head.hex()}
        for company, (length, head) in sorted(verification.heads.items())
    }


def now(url: str) -> Heads:
    """The heads as the store keeps them."""
    with psycopg.connect(conninfo(url, AUDITOR)) as connection:
        rows = connection.execute("SELECT company_id, length, hash FROM ccontrol.chain_heads").fetchall()
    return {
        encode("cmp", company): {"length": length, "hash": bytes(head).hex()}
        for company, length, head in sorted(rows)
    }


def read(path: Path) -> list[Kept]:
    """Heads from a file: signed ones line by line, or the JSON answer of `audit heads` or `audit verify`."""
    try:
        text = path.read_text()
        return _from_lines(text) if '"company_id"' in text.partition("\n")[0] else _from_answer(text)
    except OSError as failure:
        raise usage(f"{path} cannot be read: {failure.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, Invalid):
        hint = "write one with: ccontrol audit heads -o json"
        raise usage(f"{path} is not a file of heads", hint) from None


def _from_answer(text: str) -> list[Kept]:
    found = json.loads(text)
    heads = found.get("data", found).get("heads", found)
    return [
        Kept(decode("cmp", company), int(head["length"]), str(head["hash"]).lower())
        for company, head in heads.items()
    ]


def _from_lines(text: str) -> list[Kept]:
    # Without its newline, a last line may have been cut off by a crash: what it says is signed again.
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [Kept(UUID(line["company_id"]), int(line["length"]), line["hash"].lower()) for line in lines]


def kept_here() -> list[Kept]:
    """The heads that the installation on this machine has signed and kept beside its database."""
    path = instance.own_folder()
    path = None if path is None else path / "checkpoints.jsonl"
    return [] if path is None or not path.exists() else read(path)


def public_keys_here() -> dict[str, bytes] | None:
    """The key that signs here; None when it is not on this machine, and only the published ones are known."""
    folder = instance.own_folder()
    path = None if folder is None else folder / "keys" / CHECKPOINTS_KEY
    if path is None or not path.exists():
        return None
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise usage(f"{path} is not an Ed25519 key")
    public = public_bytes(key)
    return {key_id_of(public): public}


def compare(
    url: str, kept: Sequence[Kept], verification: "Verification", company: UUID | None
) -> list[dict[str, Any]]:
    """Every kept head that is not where the chain was at that length."""
    wanted: dict[UUID, list[Kept]] = {}
    for head in kept:
        if company is None or head.company_id == company:
            wanted.setdefault(head.company_id, []).append(head)
    violations = []
    with psycopg.connect(conninfo(url, AUDITOR)) as connection:
        count = connection.execute("SELECT count(*) FROM ccontrol.partition_heads").fetchone()
        partitions = count[0] if count else 0
        for company_id, heads in wanted.items():
            partition = partition_of(company_id, partitions)
            hashes = _hashes_at(connection, partition, company_id, [head.length for head in heads])
            violations += [
                _differs(head, hashes.get(head.length), verification, partition)
                for head in heads
                if hashes.get(head.length) != head.hash
            ]
    return violations


def _hashes_at(
    connection: "psycopg.Connection[Any]", partition: int, company_id: UUID, lengths: Sequence[int]
) -> dict[int, str]:
    """The hashes of a company's chain at these lengths; just verified, so they may be believed."""
    rows = connection.execute(
        "SELECT length, hash FROM (SELECT row_number() OVER (ORDER BY position) AS length, hash "
        "FROM ccontrol.events WHERE partition = %s AND company_id = %s) AS chain WHERE length = ANY(%s)",
        (partition, company_id, list(lengths)),
    )
    return {length: bytes(found).hex() for length, found in rows}


def _differs(head: Kept, found: str | None, verification: "Verification", partition: int) -> dict[str, Any]:
    length = verification.heads.get(head.company_id, (0, b""))[0]
    return {
        "kind": "head-differs",
        "meaning": "the chain is not what it was when this head was kept",
        "partition": partition,
        "position": None,
        "company_id": encode("cmp", head.company_id),
        "stream_id": None,
        "expected": f"{head.length} events, {head.hash}",
        "found": f"{length} events" if found is None else f"{head.length} events, {found}",
    }
