"""Access tokens: short-lived JWTs signed with Ed25519, read as strictly as they are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

from write_model.values.identifiers import decode
from write_model.values.identifiers import encode as encode_id
from write_model.values.invalid import Invalid

LIFETIME = timedelta(minutes=10)
_ISSUER = "ccontrol-m"
_AUDIENCE = "ccontrol-m/api"
_TYPE = "at+jwt"
_REQUIRED = ("iss", "aud", "sub", "iat", "exp", "jti", "company")
_LENGTH_MAX = 4_096
# Clocks of two processes of one installation.
_LEEWAY = timedelta(seconds=5)
_REMEMBERED_MAX = 10_000


class TokenRefused(Exception):
    """Not a token of ours that is valid now. Why is nobody's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says: who, since when, and the company to work in unless another is named."""

    user_id: UUID
    company_id: UUID | None
    issued_at: datetime
    expires_at: datetime


class AccessTokens:
    """Signs with the first key, verifies with all, publishes the public halves."""

    def __init__(self, keys: Sequence[Ed25519PrivateKey]) -> None:
        if not keys:
            raise ValueError("a signing key is needed")
        self._private = keys[0]
        self._public = {_key_id(key): key.public_key() for key in keys}
        self._signing_id = _key_id(keys[0])
        # A signature stays good: what was verified once is remembered by its hash until it expires.
        self._verified: dict[bytes, Claims] = {}

    def issue(self, *, user_id: UUID, company_id: UUID | None, token_id: UUID, now: datetime) -> str:
        """Write a token for somebody who has just proved who they are."""
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": encode_id("usr", user_id),
            "company": None if company_id is None else encode_id("cmp", company_id),
            "iat": int(now.timestamp()),
            "exp": int((now + LIFETIME).timestamp()),
            "jti": token_id.hex,
        }
        headers = {"typ": _TYPE, "kid": self._signing_id}
        return jwt.encode(claims, self._private, algorithm="EdDSA", headers=headers)

    def read(self, token: str, now: datetime) -> Claims:
        """Verify a token; raises TokenRefused."""
        if len(token) > _LENGTH_MAX or not token.isascii():
            raise TokenRefused
        fingerprint = sha256(token.encode()).digest()
        claims = self._verified.get(fingerprint)
        if claims is None:
            claims = self._verify(token)
            if len(self._verified) >= _REMEMBERED_MAX:
                self._verified.clear()
            self._verified[fingerprint] = claims
        if not claims.issued_at - _LEEWAY <= now < claims.expires_at:
            raise TokenRefused
        return claims

    def _verify(self, token: str) -> Claims:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != _TYPE or header.get("crit") is not None:
                raise TokenRefused
            key = self._public.get(header.get("kid", ""))
            if key is None:
                raise TokenRefused
            # The times are checked by `read`, with the clock we were given.
            options: Any = {"require": list(_REQUIRED), "verify_exp": False, "verify_iat": False}
            claims: Mapping[str, Any] = jwt.decode(
                token, key, algorithms=["EdDSA"], audience=_AUDIENCE, issuer=_ISSUER, options=options
            )
            return _claims(claims)
        except (jwt.PyJWTError, Invalid, ValueError, TypeError, OverflowError) as why:
            raise TokenRefused from why

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {
            "keys": [
                {**OKPAlgorithm.to_jwk(key, as_dict=True), "kid": key_id, "use": "sig", "alg": "EdDSA"}
                for key_id, key in self._public.items()
            ]
        }


def _claims(claims: Mapping[str, Any]) -> Claims:
    issued, expires = claims["iat"], claims["exp"]
    if type(issued) is not int or type(expires) is not int:
        raise TokenRefused
    if not 0 < expires - issued <= LIFETIME.total_seconds():
        raise TokenRefused
    company = claims["company"]
    return Claims(
        user_id=decode("usr", claims["sub"]),
        company_id=None if company is None else decode("cmp", company),
        issued_at=datetime.fromtimestamp(issued, UTC),
        expires_at=datetime.fromtimestamp(expires, UTC),
    )


def _key_id(key: Ed25519PrivateKey) -> str:
    return sha256(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]
