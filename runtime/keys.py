"""The secret keys of one installation, made on first start and never replaced by us.

`root.key`         wraps every company's key for personal data
`tokens.pem`       Ed25519: signs access tokens
`checkpoints.pem`  Ed25519: signs the heads of the event chain

They live outside the database on purpose: who steals a database or a backup of it gets neither personal data
nor the power to sign. Losing `root.key` loses the personal data for good, so it belongs in the backup plan.
"""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from write_model.store.personal_data import KeyRing

ROOT_KEY = "root.key"
TOKENS_KEY = "tokens.pem"
CHECKPOINTS_KEY = "checkpoints.pem"


def ensure_keys(directory: Path) -> None:
    """Make the keys that are missing; existing ones are left alone."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    KeyRing.create(directory / ROOT_KEY)
    for name in (TOKENS_KEY, CHECKPOINTS_KEY):
        key = Ed25519PrivateKey.generate()
        _ensure(directory / name, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _ensure(path: Path, content: bytes) -> None:
    """Create-only: whatever happens, a key that encrypted something is never overwritten."""
    if path.exists():
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(unfinished, path)
    except FileExistsError:  # another process was faster: its key is the key
        pass
    finally:
        unfinished.unlink()
