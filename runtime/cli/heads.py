"""Where the chains end, kept outside the database: what a rewritten history can be held against."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from runtime.cli import instance
from runtime.cli.awaiting import awaited
from runtime.cli.outcome import Exit, Stop, unreachable, usage
from runtime.keys import CHECKPOINTS_KEY
from write_model.store.chain_heads import Kept
from write_model.store.connections import AUDITOR, conninfo
from write_model.store.sealing import key_id_of, public_bytes
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
        Kept(decode("cmp", company), int(head["length"]), bytes.fromhex(head["hash"]))
        for company, head in heads.items()
    ]


def _from_lines(text: str) -> list[Kept]:
    # Without its newline, a last line may have been cut off by a crash: what it says is signed again.
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [
        Kept(UUID(line["company_id"]), int(line["length"]), bytes.fromhex(line["hash"])) for line in lines
    ]


def kept_here() -> list[Kept]:
    """The signed heads in the blob store of this installation."""
    from runtime.blobs import Blobs, BlobStoreFailed
    from write_model.store.keeper import FOLDER

    url, folder = os.environ.get("BLOB_URL"), instance.own_folder()
    if not url and folder is None:
        return []

    async def lines() -> str:
        blobs = Blobs.open(url, instance.state_folder())
        return "".join([content.decode() async for content in blobs.read_all(FOLDER)])

    try:
        return _from_lines(awaited(lines()))
    except BlobStoreFailed as failure:
        raise unreachable(f"the blob store cannot be read: {failure}", "name the heads: --against") from None
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise Stop(
            Exit.INTEGRITY, "kept-head-damaged", f"a head kept in the blob store is damaged: {failure}"
        ) from None


def public_keys_here() -> dict[str, bytes] | None:
    """The key that signs here; None when it is not on this machine, and only the published ones are known."""
    key = key_here()
    if key is None:
        return None
    public = public_bytes(key)
    return {key_id_of(public): public}


def key_here() -> Ed25519PrivateKey | None:
    """The key itself."""
    folder = instance.own_folder()
    path = None if folder is None else folder / "keys" / CHECKPOINTS_KEY
    if path is None or not path.exists():
        return None
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise usage(f"{path} is not an Ed25519 key")
    return key
