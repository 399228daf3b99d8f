"""A small history of several companies, with its signed heads, that many tests share."""

import asyncio
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.store.submissions import appended, claimed, companies_of_partition, entry, party, submission
from write_model.store.chain import Kept, Verification, verify
from write_model.store.personal_data import KeyRing
from write_model.store.sealer import Sealer
from write_model.store.sealing import key_id_of, public_bytes
from write_model.store.store import Store

# Everything a superuser can change and the verifier looks at.
TABLES = ("events", "partition_heads", "chain_heads", "checkpoints", "sealing_keys")


@dataclass(frozen=True)
class History:
    """Where it is, who signed it, and what is known of it elsewhere."""

    url: str
    ring: KeyRing
    key: Ed25519PrivateKey
    companies: tuple[UUID, ...]
    kept: tuple[Kept, ...]

    def verify(self) -> Verification:
        """As an auditor does who has the key and the heads from elsewhere."""
        public = public_bytes(self.key)
        return verify(self.url, public_keys={key_id_of(public): public}, kept=self.kept)


def make(url: str, folder: Path) -> History:
    """Three companies in one partition and one in another; everything signed at the end, and once before."""
    return asyncio.run(_make(url, folder))


async def _make(url: str, folder: Path) -> History:
    ring = KeyRing.create(folder / "root.key")
    store = await Store.open(url, ring, uuid4)
    companies = (*companies_of_partition(store, 2, 3), *companies_of_partition(store, 5, 1))
    key = Ed25519PrivateKey.generate()
    sealer = Sealer(url, key, lambda: datetime.now(UTC))
    streams = {company_id: [uuid4(), uuid4()] for company_id in companies}
    versions: dict[UUID, int] = {}
    chance = random.Random(7)
    for turn in range(6):
        for company_id in companies:
            stream = streams[company_id][turn % 2]
            facts = (claimed('=1+1 "ç" \\ \t'), entry(), party(uuid4(), '=Pessoa; de "Teste"'))[
                : 1 + turn % 3
            ]
            one = submission(company_id, stream, versions.get(stream, 0), *facts)
            (command,) = one.commands
            about = replace(
                command.context,
                reason="-" if turn % 2 else None,
                causation_id=uuid4() if chance.random() < 0.5 else None,
            )
            await appended(store, replace(one, commands=(replace(command, context=about),)))
            versions[stream] = versions.get(stream, 0) + len(facts)
        if turn == 3:
            await sealer.seal_due()
    await store.close()
    with psycopg.connect(url) as connection:
        heads: Any = connection.execute(
            "SELECT company_id, length, hash FROM ccontrol.chain_heads"
        ).fetchall()
    for company_id in companies:
        await sealer.seal(company_id)
    return History(url, ring, key, companies, tuple(Kept(*head) for head in heads))
