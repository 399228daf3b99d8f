"""The bytes, hashes and signature of a short chain, pinned: an auditor's program of today must hold for ever.

`golden_chain.json` was computed apart from this program. If a test here fails, histories that were signed no
longer verify: it is the program that is wrong.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.store.submissions import appended, claimed, companies_of_partition, entry, submission
from tests.store.tampering import tampering
from write_model.message import Actor
from write_model.store.canonical import COLUMNS, GENESIS, canonical, canonical_row, chain, chain_hash
from write_model.store.sealing import key_id_of, public_bytes, statement
from write_model.store.store import Store
from write_model.values.money import MINOR_MAX

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden_chain.json").read_text())
EVENTS = GOLDEN["events"]
BIGINT_MAX = 2**63 - 1

_AS_HASHED = ", ".join(
    f"""to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    if name == "recorded_at"
    else f"{name}::text"
    for name in COLUMNS
)


def _columns(number: int) -> list[bytes | None]:
    return [None if text is None else text.encode() for text in EVENTS[number]["columns"]]


@pytest.mark.parametrize("number", range(len(EVENTS)))
def test_the_pinned_bytes(number: int) -> None:
    columns = _columns(number)
    assert len(columns) == len(COLUMNS)
    assert canonical(columns).hex() == EVENTS[number]["canonical_hex"]
    assert canonical_row(columns).hex() == EVENTS[number]["canonical_hex"]


def test_the_pinned_chain() -> None:
    head = GENESIS
    for event in EVENTS:
        head = chain_hash(head, bytes.fromhex(event["canonical_hex"]))
        assert head.hex() == event["hash"]
    assert chain(_columns(number) for number in range(len(EVENTS))) == head


def test_the_pinned_signature() -> None:
    pinned = GOLDEN["checkpoint"]
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(pinned["private_key"]))
    head = bytes.fromhex(EVENTS[-1]["hash"])
    signed = statement(UUID(GOLDEN["company_id"]), len(EVENTS), head)
    assert signed.decode() == pinned["statement"]
    assert public_bytes(key).hex() == pinned["public_key"]
    assert key_id_of(public_bytes(key)) == pinned["key_id"]
    # Ed25519 signatures are deterministic: the same key and statement give the same bytes.
    assert key.sign(signed).hex() == pinned["signature"]


ODD = "e\u0301 é \U0001f9fe \U0001d11e -,1:x,\n\t\\"


@pytest.mark.asyncio
async def test_the_database_hashes_the_same_bytes(store: Store, database_url: str) -> None:
    """With the highest position there is, every nullable column both ways, and text of every width."""
    (company,) = companies_of_partition(store, 2, 1)
    with tampering(database_url) as connection:
        connection.execute(
            "UPDATE ccontrol.partition_heads SET position = %s WHERE partition = 2", (BIGINT_MAX - 5,)
        )
    stream, top = uuid4(), MINOR_MAX
    facts = (claimed(ODD), entry(), entry(top, top), claimed(""), claimed("\U0001f600" * 50))
    given: list[tuple[str | None, UUID | None, UUID | None]] = [
        (None, None, None),
        ("", uuid4(), None),
        (ODD, None, uuid4()),
        ("-", uuid4(), uuid4()),
        ("x" * 500, None, None),
    ]
    for version, (fact, (reason, causation, behalf)) in enumerate(zip(facts, given, strict=True)):
        one = submission(company, stream, version, fact)
        (command,) = one.commands
        about = replace(
            command.context,
            reason=reason,
            causation_id=causation,
            actor=Actor("user", uuid4(), behalf),
        )
        await appended(store, replace(one, commands=(replace(command, context=about),)))
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            f"SELECT {_AS_HASHED}, prev_hash, hash FROM ccontrol.events ORDER BY events.position"  # noqa: S608
        ).fetchall()
    assert [row[COLUMNS.index("position")] for row in rows] == [str(BIGINT_MAX - 4 + n) for n in range(5)]
    nullable = [COLUMNS.index(name) for name in ("reason", "causation_id", "on_behalf_of")]
    assert [tuple(row[index] for index in nullable) for row in rows] == [
        tuple(None if each is None else str(each) for each in one) for one in given
    ]
    head = GENESIS
    for *columns, previous, digest in rows:
        assert previous == head
        head = chain_hash(head, canonical(None if text is None else text.encode() for text in columns))
        assert digest == head
