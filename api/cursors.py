"""Cursors: where a page ended, as opaque text that only works where it was given."""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import date, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from api.problems import Problem

_MAC_BYTES = 9
_LENGTH_MAX = 2_000


def binding(path: str, company_id: UUID, parameters: Sequence[tuple[str, str]]) -> bytes:
    """What a cursor belongs to: the list, the company, the filters and the order."""
    return json.dumps([path, str(company_id), sorted(parameters)]).encode()


def seal(values: tuple[Any, ...], bound_to: bytes, secret: bytes) -> str:
    """Write the sort values of the last row shown."""
    payload = json.dumps([_plain(value) for value in values], separators=(",", ":")).encode()
    return urlsafe_b64encode(_mac(payload, bound_to, secret) + payload).decode().rstrip("=")


def open_cursor(text: str, bound_to: bytes, secret: bytes) -> tuple[Any, ...]:
    """Read them back: dates, moments and ids come back as what they were."""
    try:
        if len(text) > _LENGTH_MAX:
            raise ValueError
        whole = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        mac, payload = whole[:_MAC_BYTES], whole[_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(payload, bound_to, secret)):
            raise ValueError
    except ValueError:
        raise Problem("cursor-invalid") from None
    return tuple(_value(value) for value in json.loads(payload))


def _mac(payload: bytes, bound_to: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, b"cursor\0" + sha256(bound_to).digest() + payload, sha256)[:_MAC_BYTES]


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case datetime():
            return {"t": value.isoformat()}
        case date():
            return {"d": value.isoformat()}
        case UUID():
            return {"u": value.hex}
    raise TypeError(f"a cursor cannot hold a {type(value).__name__}")


def _value(plain: Any) -> Any:
    match plain:
        case {"t": moment}:
            return datetime.fromisoformat(moment)
        case {"d": day}:
            return date.fromisoformat(day)
        case {"u": identifier}:
            return UUID(identifier)
    return plain
