"""What comes around a command in headers and query: its key, the version expected, a rehearsal or not."""

import re
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request

from api.problems import Problem

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ETAG = re.compile(r'"([0-9]{1,9})"', re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """`key` is None only where it may be: in a dry run, and for batches, whose commands bring their own."""

    key: str | None
    expected_version: int | None
    expected_by_header: bool
    is_dry_run: bool
    wants_minimal: bool


def envelope_of(request: Request) -> Envelope:
    """Read `Idempotency-Key`, `If-Match`, `Prefer: return=minimal` and `?dry_run`."""
    headers = request.headers
    expected = _expected(headers)
    return Envelope(
        key=key_of(headers),
        expected_version=expected,
        expected_by_header=expected is not None,
        is_dry_run=_is_dry_run(request),
        wants_minimal="return=minimal" in headers.get("prefer", ""),
    )


def key_of(headers: Headers) -> str | None:
    """The idempotency key, or None when there is no such header; anything else than one key is refused."""
    given = headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1:
        raise key_required()
    return checked_key(given[0])


def checked_key(text: object) -> str:
    """A key as it must be: 1 to 255 visible ASCII characters."""
    if not isinstance(text, str) or not _KEY.fullmatch(text):
        raise key_required()
    return text


def key_required() -> Problem:
    """No key, or one that is none."""
    return Problem("idempotency-key-required")


def _expected(headers: Headers) -> int | None:
    given = headers.getlist("if-match")
    # `*` asks for any version at all, which every command that acts on a thing does anyway.
    if not given or given == ["*"]:
        return None
    found = _ETAG.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        raise Problem("malformed-header", params={"header": "If-Match"})
    return int(found[1])


def _is_dry_run(request: Request) -> bool:
    if not request.scope["query_string"]:
        return False
    asked = False
    for number, (name, value) in enumerate(request.query_params.multi_items()):
        if name != "dry_run":
            raise Problem("filter-unknown", params={"known": "dry_run"})
        if number or value not in ("true", "false"):
            raise Problem("filter-invalid", params={"parameter": "dry_run"})
        asked = value == "true"
    return asked
