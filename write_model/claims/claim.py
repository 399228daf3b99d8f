"""A claim on a unique name, appended in the transaction of the thing that needs it.

Two clerks cannot take one SKU: the second append finds the claim's stream moved. Personal numbers are
claimed by their fingerprint, so that no stream id discloses a CPF.
"""

from typing import ClassVar
from uuid import UUID

from write_model.claims.events import Claimed, Released
from write_model.message import Duplicate, State, Streams


class Claim(State):
    """Who holds one unique name; nobody while `holder` is None."""

    __slots__ = ("holder",)
    kind: ClassVar[str] = "claims.claim"

    def __init__(self) -> None:
        self.holder: UUID | None = None

    def apply(self, fact: Claimed | Released) -> None:
        """Fold one event."""
        self.holder = fact.holder if isinstance(fact, Claimed) else None


class AlreadyClaimed(Duplicate):
    """Something else already holds this number or name."""

    pt = "Este número ou nome já está em uso"


async def claim(streams: Streams, subject: str, name: str, holder: UUID) -> None:
    """Take `name` among the names of `subject` for `holder`, or refuse with AlreadyClaimed.

    Taking a name one already holds changes nothing.
    """
    key = f"{subject}/{name}"
    held = await streams.load(Claim, key)
    if held.holder == holder:
        return
    if held.holder is not None:
        raise AlreadyClaimed(subject=subject)
    streams.record(Claim, key, [Claimed(subject=subject, holder=holder)])
