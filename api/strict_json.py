"""JSON read once, strictly: one meaning or none.

Refused before anything looks at the content: bytes that are not UTF-8, byte order marks, repeated keys,
NaN and infinities, numbers too large to be finite, trailing data, nesting beyond reason.
"""

import json
from typing import Any

import msgspec
from starlette.requests import Request

from api.problems import Problem

_NUMBER_DIGITS_MAX = 32
_JSON = "application/json"
_CANONICAL = msgspec.json.Encoder(order="sorted")


class Unreadable:
    """A number no field can take, kept only so that validation can say where it stands."""

    __slots__ = ()


_UNREADABLE = Unreadable()


class _DuplicateKey(Exception):
    """Raised from inside the decoder."""


def read(raw: bytes) -> Any:
    """Decode one JSON document; raises Problem `malformed-json` or `duplicate-key`."""
    try:
        return _DECODER.decode(raw.decode("utf-8"))
    except _DuplicateKey:
        raise Problem("duplicate-key") from None
    # UnicodeDecodeError and JSONDecodeError are ValueErrors; the decoder recurses into what it reads.
    except (ValueError, RecursionError):
        raise Problem("malformed-json") from None


async def read_body(request: Request) -> Any:
    """The JSON body of a request: `application/json`, uncompressed, UTF-8."""
    headers = request.headers
    media_type, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    encoding = headers.get("content-encoding", "identity")
    if media_type.strip().lower() != _JSON or charset not in ("", "charset=utf-8") or encoding != "identity":
        raise Problem("unsupported-media-type", headers={"Accept": _JSON, "Accept-Encoding": "identity"})
    return read(await request.body())


def canonical(value: Any) -> str:
    """The one text of a decoded document: what is hashed to tell whether a request is the same."""
    return _CANONICAL.encode(value).decode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateKey
    return found


def _float(text: str) -> float | Unreadable:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("not finite")
    # No field is a binary fraction.
    return _UNREADABLE


def _int(text: str) -> int | Unreadable:
    return int(text) if len(text) <= _NUMBER_DIGITS_MAX else _UNREADABLE


def _constant(_: str) -> Any:
    raise ValueError("not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant
)
