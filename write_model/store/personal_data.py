"""Personal data: encrypted under a key of its own person, so that destroying one key erases one person.

    root key     in a file of this machine, never in the database
    company key  derived from the root key and the company's id; stored nowhere
    subject key  random, one per person and company, stored wrapped under the company key

A text is stored as {"subject", "key", "ct"}: AES-256-GCM with company, subject, event, field and key number
as associated data, so that a ciphertext moved to another event, field or person does not open. The chain
covers the ciphertext, and therefore still verifies after the key is gone.

Subject keys are read afresh for each append and each page and never cached: an erasure is then effective
everywhere at once, and no process can encrypt under a key that was destroyed meanwhile.
"""

import base64
import hmac
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from write_model.message import Personal
from write_model.store.topics import Seal, Unseal

_KEY_BYTES = 32
_NONCE_BYTES = 12
_OTHERS = 0o077


class KeysUnusable(Exception):
    """The file of root keys is missing, damaged, or readable by others."""


class PersonalDataDamaged(Exception):
    """A sealed text does not open although its key is there: it was altered or moved."""


class KeyRing:
    """The root keys of this installation, by number. New keys are wrapped under the newest."""

    def __init__(self, roots: Mapping[int, bytes]) -> None:
        if not roots or any(len(root) != _KEY_BYTES for root in roots.values()):
            raise KeysUnusable(f"a key ring needs root keys of {_KEY_BYTES} bytes")
        self._roots = dict(roots)
        self.newest = max(roots)
        self._company_key = lru_cache(maxsize=10_000)(self._derive_company_key)
        self._fingerprint_key = lru_cache(maxsize=10_000)(self._derive_fingerprint_key)

    def __repr__(self) -> str:  # keys never reach a log
        return f"KeyRing({len(self._roots)} root keys)"

    @classmethod
    def create(cls, path: Path) -> "KeyRing":
        """Read the file, or make it with one random root key if there is none."""
        if not path.exists():
            text = json.dumps({"roots": {"1": base64.b64encode(os.urandom(_KEY_BYTES)).decode()}})
            path.parent.mkdir(parents=True, exist_ok=True)
            # Written whole under another name, then linked: of two processes the first wins, and nobody
            # ever reads half a key.
            draft = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> "KeyRing":
        """Read the file; refuse it when others than its owner could have."""
        try:
            if path.stat().st_mode & _OTHERS:
                raise KeysUnusable(f"{path} may be readable by its owner only (chmod 600)")
            roots = json.loads(path.read_text())["roots"]
            return cls({int(number): base64.b64decode(root) for number, root in roots.items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise KeysUnusable(f"{path} is not a file of root keys") from error

    def fingerprint(self, company_id: UUID, text: str) -> str:
        """A keyed hash: claims a tax number without disclosing it, and differs from company to company.

        Always under the first root key: a claim must be found again after a new root key was added.
        """
        return hmac.digest(self._fingerprint_key(company_id), text.encode(), "sha256").hex()

    def webhook_secret(self, company_id: UUID, webhook_id: UUID, secret_id: UUID) -> bytes:
        """The secret with this id; stored nowhere, so nothing can be read out of a database or a backup.

        Under the first root key, as fingerprints are: partners keep a secret for years.
        """
        company_key = self._company_key(company_id, min(self._roots))
        return _derive(company_key, b"ccontrol/webhook/" + webhook_id.bytes + secret_id.bytes)

    def sealing_key(self) -> Ed25519PrivateKey:
        """The key that signs checkpoints."""
        seed = _derive(self._roots[self.newest], b"ccontrol/sealer")
        return Ed25519PrivateKey.from_private_bytes(seed)

    def wrap(self, company_id: UUID, subject: UUID, key: bytes) -> bytes:
        """A subject key as it may stand in the database."""
        nonce = os.urandom(_NONCE_BYTES)
        company_key = AESGCM(self._company_key(company_id, self.newest))
        return nonce + company_key.encrypt(nonce, key, company_id.bytes + subject.bytes)

    def unwrap(self, company_id: UUID, subject: UUID, root_id: int, wrapped: bytes) -> bytes:
        """The subject key itself."""
        if root_id not in self._roots:
            raise KeysUnusable(f"root key {root_id} is not in the key ring")
        company_key = AESGCM(self._company_key(company_id, root_id))
        try:
            return company_key.decrypt(
                wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], company_id.bytes + subject.bytes
            )
        except InvalidTag as error:
            raise PersonalDataDamaged(f"the key of subject {subject} does not unwrap") from error

    def _derive_company_key(self, company_id: UUID, root_id: int) -> bytes:
        return _derive(self._roots[root_id], b"ccontrol/company/" + company_id.bytes)

    def _derive_fingerprint_key(self, company_id: UUID) -> bytes:
        return _derive(self._company_key(company_id, min(self._roots)), b"ccontrol/fingerprint")


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """The key of one person, with the number that ciphertexts know it by."""

    number: int
    key: bytes


def sealer_of(company_id: UUID, event_id: UUID, keys: Mapping[UUID, SubjectKey]) -> Seal:
    """What encrypts the personal texts of one event."""

    def seal(personal: Personal, field: str) -> dict[str, Any]:
        held = keys[personal.subject]
        nonce = os.urandom(_NONCE_BYTES)
        bound_to = _associated(company_id, personal.subject, event_id, field, held.number)
        text = (personal.text or "").encode()
        sealed = nonce + AESGCM(held.key).encrypt(nonce, text, bound_to)
        return {
            "subject": str(personal.subject),
            "key": held.number,
            "ct": base64.b64encode(sealed).decode(),
        }

    return seal


def unsealer_of(company_id: UUID, event_id: UUID, keys: Mapping[UUID, SubjectKey]) -> Unseal:
    """What decrypts the personal texts of one event; without the key it was sealed under, text is None."""

    def unseal(sealed: dict[str, Any], field: str) -> Personal:
        subject = UUID(sealed["subject"])
        held = keys.get(subject)
        # Another number: that key was destroyed, and the person has a new one since.
        if held is None or held.number != sealed["key"]:
            return Personal(subject, None)
        data = base64.b64decode(sealed["ct"])
        bound_to = _associated(company_id, subject, event_id, field, held.number)
        try:
            text = AESGCM(held.key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], bound_to)
        except InvalidTag as error:
            raise PersonalDataDamaged(f"event {event_id}, field {field}") from error
        return Personal(subject, text.decode())

    return unseal


def offers_for(ring: KeyRing, company_id: UUID, subjects: Sequence[UUID]) -> list[bytes]:
    """A fresh wrapped key for each person, of which the database keeps those it has none for."""
    return [ring.wrap(company_id, subject, os.urandom(_KEY_BYTES)) for subject in subjects]


def _associated(company_id: UUID, subject: UUID, event_id: UUID, field: str, number: int) -> bytes:
    return f"{company_id}|{subject}|{event_id}|{field}|{number}".encode()


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose).derive(key)
