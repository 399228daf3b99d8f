"""The consistency token: "show me at least what I have already been shown".

`ct1-<epoch>-<position>-<mac>` sorts as text, so a client keeps the greater of two without reading them.
The epoch and the position are in base 32 of fixed width; the mac binds both to one company. A token of an
epoch before this one is refused: what its client has been shown may never have happened.

A query answers when every projection it reads has a checkpoint at or beyond the token's position. Usually
that is known from memory; otherwise it waits, at most `Prefer: wait` seconds.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request

from api.problems import Problem
from api.services import Services

_WAIT_DEFAULT_SECONDS = 1.0
_WAIT_MAX_SECONDS = 10.0

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Two digits at a time, as one position is written for every command.
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_TO_INT = str.maketrans(_ALPHABET, "0123456789ABCDEFGHIJKLMNOPQRSTUV")
_TOKEN = re.compile(r"ct1-([0-9A-HJKMNP-TV-Z]{7})-([0-9A-HJKMNP-TV-Z]{13})-([0-9a-f]{16})", re.ASCII)
_POSITION = re.compile(r"[0-9]{1,18}", re.ASCII)
# A name in any case, a value that may be quoted, and parameters behind it, none of which we know (RFC 7240).
_PREFERENCE = re.compile(
    r"""\s*(?P<name>[!#$%&'*+.^_`|~0-9a-z-]+)"""
    r"""(?:\s*=\s*(?:"(?P<quoted>[^"\\]*)"|(?P<plain>[^\s";=]*)))?\s*(?:;.*)?""",
    re.ASCII | re.IGNORECASE,
)
_DIGITS_MAX = 6


def token(epoch: int, position: int, company_id: UUID, secret: bytes) -> str:
    """Write a token."""
    body = f"ct1-{_base32(epoch, 7)}-{_base32(position, 13)}"
    return f"{body}-{_mac(body, company_id, secret)}"


def read_token(text: str, company_id: UUID, secret: bytes) -> tuple[int, int]:
    """Epoch and position; raises `token-invalid` for anything not written here for this company."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        raise Problem("token-invalid")
    body = text[: found.end(2)]
    if not hmac.compare_digest(found[3], _mac(body, company_id, secret)):
        raise Problem("token-invalid")
    return int(found[1].translate(_TO_INT), 32), int(found[2].translate(_TO_INT), 32)


def _mac(body: str, company_id: UUID, secret: bytes) -> str:
    return hmac.digest(secret, b"token\0" + company_id.bytes + body.encode(), "sha256")[:8].hex()


def _base32(number: int, width: int) -> str:
    text = ""
    while number:
        number, pair = divmod(number, 1024)
        text = _PAIRS[pair] + text
    text = text.rjust(width, "0")
    if len(text) > width:
        # Pairs may bring one leading zero too many.
        text = text.removeprefix("0")
    if len(text) != width:
        raise ValueError("too large for a token")
    return text


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the `Prefer` header says; what it does not know it ignores (RFC 7240)."""

    wait_seconds: float | None
    lenient: bool
    minimal: bool

    @property
    def applied(self) -> str:
        """For `Preference-Applied`."""
        parts = []
        if self.wait_seconds is not None:
            parts.append(f"wait={self.wait_seconds:g}")
        if self.lenient:
            parts.append("handling=lenient")
        if self.minimal:
            parts.append("return=minimal")
        return ", ".join(parts)


_NO_PREFERENCES = Preferences(None, lenient=False, minimal=False)


def preferences_of(request: Request) -> Preferences:
    """Read `Prefer`."""
    if "prefer" not in request.headers:
        return _NO_PREFERENCES
    asked: dict[str, str] = {}
    for part in ",".join(request.headers.getlist("prefer")).split(","):
        found = _PREFERENCE.fullmatch(part)
        if found is not None:
            # Of one that is said twice, the first counts.
            asked.setdefault(found["name"].lower(), (found["quoted"] or found["plain"] or "").lower())
    return Preferences(
        _seconds(asked.get("wait", "")),
        lenient=asked.get("handling") == "lenient",
        minimal=asked.get("return") == "minimal",
    )


def _seconds(text: str) -> float | None:
    if not (text.isascii() and text.isdecimal()):
        return None
    return _WAIT_MAX_SECONDS if len(text) > _DIGITS_MAX else min(float(text), _WAIT_MAX_SECONDS)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client has already been shown, and how long it would wait for it."""

    company_id: UUID
    position: int
    preferences: Preferences

    def token_after(self, position: int, services: Services) -> str:
        """The token of an answer: never behind the one that came in."""
        shown = max(position, self.position)
        return token(services.store.epoch, shown, self.company_id, services.door_secret)


def asked_of(request: Request, company_id: UUID, services: Services) -> Asked:
    """Read `Consistency-Token` and `min_position`; the later of the two counts."""
    position = 0
    texts = request.headers.getlist("consistency-token")
    if texts:
        if len(texts) > 1:
            raise Problem("token-invalid")
        epoch, position = read_token(texts[0], company_id, services.door_secret)
        if epoch > services.store.epoch:
            # Written by a process that has heard of a restore before this one; a second more, and it has too.
            raise Problem("dependency-down", headers={"Retry-After": "1"})
        if epoch < services.store.epoch:
            raise Problem("store-epoch-changed")
    if request.scope["query_string"]:
        minimum = request.query_params.get("min_position")
        if minimum is not None:
            if not _POSITION.fullmatch(minimum):
                raise Problem("filter-invalid", params={"parameter": "min_position"})
            position = max(position, int(minimum))
    return Asked(company_id, position, preferences_of(request))


async def bring_up_to_date(
    asked: Asked, projections: Sequence[str], partition: int, services: Services
) -> dict[str, str]:
    """Wait until the projections show what was asked for; returns the headers that say how it went."""
    headers = {"Consistency": "fresh"}
    preferences = asked.preferences
    if preferences.applied:
        headers["Preference-Applied"] = preferences.applied
    if not asked.position:
        return headers
    if not projections:
        # Nothing is waited for; but what has never been cannot have been shown.
        await _refuse_beyond_head(asked, partition, services)
        return headers
    seconds = preferences.wait_seconds
    found = await services.freshness.wait(
        projections,
        partition,
        asked.position,
        timeout_seconds=_WAIT_DEFAULT_SECONDS if seconds is None else seconds,
    )
    if found.fresh:
        return headers
    await _refuse_beyond_head(asked, partition, services)
    if not preferences.lenient:
        late = found.behind[0]
        applied = {name: text for name, text in headers.items() if name == "Preference-Applied"}
        raise Problem(
            "projection-behind",
            headers={"Retry-After": "1", **applied},
            projection=late,
            wanted=asked.position,
            have=found.positions[late],
            state=found.state,
        )
    headers["Consistency"] = "stale"
    return headers


async def _refuse_beyond_head(asked: Asked, partition: int, services: Services) -> None:
    """What is newer than anything recorded speaks of a history that is no more."""
    if asked.position > await services.store.head(partition):
        raise Problem("store-epoch-changed")
