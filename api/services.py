"""What the doors are given by whoever starts them; nothing here is found by itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import HTTPConnection

if TYPE_CHECKING:
    from api.operations import Operations
    from read_model.cache import Views
    from read_model.freshness import Freshnesses
    from write_model.dispatch import Dispatcher
    from write_model.store.changes import Changes
    from write_model.store.store import Store


class Ids(Protocol):
    """Where new identifiers come from."""

    def new(self) -> UUID:
        """A time-ordered identifier that nobody else has."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything the doors need, made once per process.

    `engine` is of the application's role, bound by row level security; it serves queries and sign-in.
    `projections` names those that must be there before queries can be answered.
    `views` are the Redis views of the read model and `redis` the client; without them the doors work too.
    `token_keys` sign access tokens: the first signs, all verify. `door_secret` keys the consistency tokens
    and the cursors, so it is the same in every process of an installation.
    `loopback_allowed` is for development: webhooks may then live on this very machine.
    `changes` is the log for live updates, and `concerns` the SQL projections that show each kind of event.
    `operations` is what operators may do to projections.
    """

    store: "Store"
    dispatcher: "Dispatcher"
    engine: AsyncEngine
    freshness: "Freshnesses"
    projections: frozenset[str]
    token_keys: Sequence[Ed25519PrivateKey]
    door_secret: bytes
    clock: Callable[[], datetime]
    ids: Ids
    views: "Views | None" = None
    redis: Any | None = None
    loopback_allowed: bool = False
    changes: "Changes | None" = None
    concerns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    operations: "Operations | None" = None


def services_of(connection: HTTPConnection) -> Services:
    """What this application was made with."""
    services: Services = connection.app.state.services
    return services
