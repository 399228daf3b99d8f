"""What the doors are given by whoever starts them; nothing here is found by itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import HTTPConnection

if TYPE_CHECKING:
    from write_model.dispatch import Dispatcher
    from write_model.store.store import Store


class Ids(Protocol):
    """Where new identifiers come from."""

    def new(self) -> UUID:
        """A time-ordered identifier that nobody else has."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far one projection is behind the log, over all partitions."""

    name: str
    lag_events: int
    lag_seconds: float
    state: str


class Freshness(Protocol):
    """How far the projections have come."""

    def position(self, projection: str, partition: int) -> int:
        """The last known checkpoint, from memory: never ahead of what a new snapshot shows."""
        ...

    def is_stopped(self, projection: str, partition: int) -> bool:
        """Whether waiting for it is in vain."""
        ...

    async def wait(self, projection: str, partition: int, position: int, timeout_seconds: float) -> bool:
        """Until the checkpoint reaches the position: True; False when time is up or it is stopped."""
        ...

    async def lags(self) -> Sequence[Lag]:
        """Every projection's distance from the log."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything the doors need, made once per process.

    `engine` is of the application's role, bound by row level security; it serves queries and sign-in.
    `cache` holds the Redis views and the attempts to sign in; without it both live without Redis.
    `token_keys` sign access tokens: the first signs, all verify. `door_secret` keys the consistency tokens
    and the cursors, so it is the same in every process of an installation.
    """

    store: "Store"
    dispatcher: "Dispatcher"
    engine: AsyncEngine
    freshness: Freshness
    projections: frozenset[str]
    token_keys: Sequence[Ed25519PrivateKey]
    door_secret: bytes
    clock: Callable[[], datetime]
    ids: Ids
    cache: Any | None = None
    checks: Mapping[str, Callable[[], Any]] | None = None


def services_of(connection: HTTPConnection) -> Services:
    """What this application was made with."""
    services: Services = connection.app.state.services
    return services
