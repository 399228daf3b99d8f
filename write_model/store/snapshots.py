"""Folded states of long streams, kept so that loading one takes as long as what came since.

Disposable: a snapshot of another version of its class is ignored, and so is one that this installation did
not write, because a decision rests on it and no chain covers it.
"""

import hmac
from collections.abc import Callable
from typing import Any, Protocol, get_type_hints
from uuid import UUID

import msgspec

from write_model.message import State
from write_model.store import topics

EVERY = 500
"""A snapshot is due whenever a stream has grown by so many events. Folding as many takes some 10 ms."""

Fingerprint = Callable[[str], str]


class Folded(Protocol):
    """A state and the version of the stream it was folded from."""

    @property
    def state(self) -> State: ...

    @property
    def version(self) -> int: ...


def is_due(kind: type[State], before: int, after: int) -> bool:
    """Whether a stream that grew from one version to another wants a snapshot."""
    return kind.snapshot_version > 0 and after // EVERY > before // EVERY


def encode(stream: UUID, version: int, state: State, fingerprint: Fingerprint) -> bytes:
    """The state as text, after the proof that it is ours."""
    slots: tuple[str, ...] = type(state).__slots__
    text = topics.encode_plain({name: getattr(state, name) for name in slots})
    return (fingerprint(_stated(stream, version, type(state), text)) + text).encode()


def decode(stream: UUID, version: int, kind: type[State], stored: bytes, fingerprint: Fingerprint) -> Any:
    """The state again, or None when it is not one of ours, for this stream at this version."""
    try:
        proof, text = stored[:_PROOF_LENGTH].decode(), stored[_PROOF_LENGTH:].decode()
    except UnicodeDecodeError:
        return None
    if not hmac.compare_digest(proof.encode(), fingerprint(_stated(stream, version, kind, text)).encode()):
        return None
    hints = get_type_hints(kind)
    state = kind()
    for name, value in msgspec.json.decode(text).items():
        setattr(state, name, topics.decode_plain(value, hints[name]))
    return state


# SHA-256 in hexadecimal.
_PROOF_LENGTH = 64


def _stated(stream: UUID, version: int, kind: type[State], text: str) -> str:
    return f"snapshot/{stream}/{version}/{kind.kind}/{kind.snapshot_version}/{text}"
