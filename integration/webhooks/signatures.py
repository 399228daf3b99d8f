"""Signatures as Standard Webhooks has them: HMAC-SHA256 over `id.timestamp.body`, one for each secret."""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256


def signature(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,…`, once for each secret with a space between them: a receiver accepts any it knows."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{b64encode(hmac.digest(secret, signed, sha256)).decode()}" for secret in secrets)
