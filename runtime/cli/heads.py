"""Where the chains end, kept outside the database: what a rewritten history can be held against."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg

from runtime.cli.outcome import usage
from write_model.store.connections import AUDITOR, conninfo
from write_model.store.partitions import partition_of
from write_model.values.identifiers import decode, encode
from write_model.values.invalid import Invalid

if TYPE_CHECKING:
    from write_model.store.chain import Verification

Heads = dict[str, dict[str, Any]]


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


def read(path: Path) -> dict[UUID, tuple[int, str]]:
    """Heads from a file: the JSON answer of `audit heads` or `audit verify`, or its heads alone."""
    try:
        found = json.loads(path.read_text())
        heads = found.get("data", found).get("heads", found)
        return {
            decode("cmp", company): (int(head["length"]), str(head["hash"]).lower())
            for company, head in heads.items()
        }
    except OSError as failure:
        raise usage(f"{path} cannot be read: {failure.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, Invalid):
        hint = "write one with: ccontrol audit heads -o json"
        raise usage(f"{path} is not a file of heads", hint) from None


def compare(
    url: str,
    kept: Mapping[UUID, tuple[int, str]],
    verification: "Verification",
    company: UUID | None,
) -> list[dict[str, Any]]:
    """Every kept head that is not where the chain was at that length."""
    violations = []
    with psycopg.connect(conninfo(url, AUDITOR)) as connection:
        count = connection.execute("SELECT count(*) FROM ccontrol.partition_heads").fetchone()
        partitions = count[0] if count else 0
        for company_id, (length, expected) in kept.items():
            if company is not None and company_id != company:
                continue
            found = _hash_at(connection, partition_of(company_id, partitions), company_id, length)
            if found != expected:
                violations.append(_differs(company_id, length, expected, found, verification, partitions))
    return violations


def _hash_at(
    connection: "psycopg.Connection[Any]", partition: int, company_id: UUID, length: int
) -> str | None:
    """The hash of a company's chain when it had this length; the verification has shown that it is right."""
    row = connection.execute(
        "SELECT hash FROM ccontrol.events WHERE partition = %s AND company_id = %s "
        "ORDER BY position OFFSET %s LIMIT 1",
        (partition, company_id, max(length - 1, 0)),
    ).fetchone()
    return None if row is None else bytes(row[0]).hex()


def _differs(
    company_id: UUID,
    length: int,
    expected: str,
    found: str | None,
    verification: "Verification",
    partitions: int,
) -> dict[str, Any]:
    now_length = verification.heads.get(company_id, (0, b""))[0]
    return {
        "kind": "head-differs",
        "meaning": "the chain is not what it was when this head was kept",
        "partition": partition_of(company_id, partitions),
        "position": None,
        "company_id": encode("cmp", company_id),
        "stream_id": None,
        "expected": f"{length} events, {expected}",
        "found": f"{now_length} events" if found is None else f"{length} events, {found}",
    }
