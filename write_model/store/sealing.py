"""What a checkpoint states and how its key is named: all that signing and verifying have in common."""

from hashlib import sha256
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def statement(company_id: UUID, length: int, head: bytes) -> bytes:
    """The bytes that are signed: so many events of this company end in this hash."""
    return f"ccontrol checkpoint 1\n{company_id}\n{length}\n{head.hex()}\n".encode()


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The public half, 32 bytes."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_id_of(public_key: bytes) -> str:
    """Derived from the key, so that a name cannot be put on another key."""
    return sha256(public_key).hexdigest()[:16]
