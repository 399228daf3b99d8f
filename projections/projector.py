"""What a projection is: a name, a version, its tables or views, and one function per event.

    class OpenOrders(SqlProjection):
        name = "open_orders"
        version = 1
        tables = (TABLE,)

        @on(SaleConfirmed)
        def confirmed(self, batch: Batch, recorded: Recorded, fact: SaleConfirmed) -> None:
            batch.put(TABLE, {"sale_id": fact.sale_id, "status": "confirmed"})

Handlers are pure functions of the event, of rows loaded in `prepare`, and of nothing else: no clock, no
network, no attribute of the instance. That is what makes a rebuild equal to what it replaces.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, TypeVar, overload

from sqlalchemy import Table

from projections.batch import Batch, RedisBatch, Rows
from write_model.message import Event, Recorded

KLASSES = ("ledger", "document", "dashboard")
Lane = Literal["sql", "redis"]
Handler = Callable[[Any, Any, Recorded, Any], None]


class BadProjection(TypeError):
    """A projection is declared in a way that cannot work."""


class Reader(Protocol):
    """Prior rows, in the generation being written, of the companies on this page."""

    async def load(self, table: Table, keys: Sequence[Mapping[str, Any]]) -> None:
        """Make these rows known to `batch.row`; each key names every key column but the company."""
        ...

    async def load_where(self, table: Table, **values: Sequence[Any]) -> Rows:
        """Make known, and return, the rows whose columns have one of the given values."""
        ...


class Projection:
    """What both lanes share. Subclass `SqlProjection` or `RedisProjection`, never this."""

    name: ClassVar[str]
    version: ClassVar[int]
    lane: ClassVar[Lane]
    klass: ClassVar[str] = "document"
    handlers: ClassVar[Mapping[type[Event], str]] = {}

    def __init_subclass__(cls) -> None:
        found = dict(cls.handlers)
        for name, member in vars(cls).items():
            for event_type in getattr(member, "_handles", ()):
                if event_type in found and found[event_type] != name:
                    raise BadProjection(f"{cls.__name__} handles {event_type.topic} twice")
                found[event_type] = name
        cls.handlers = found
        if cls.klass not in KLASSES:
            raise BadProjection(f"{cls.__name__}: klass is one of {KLASSES}")

    def bound(self) -> dict[type[Event], Callable[[Any, Recorded, Any], None]]:
        """The function for each event this projection handles."""
        return {event_type: getattr(self, name) for event_type, name in self.handlers.items()}


class SqlProjection(Projection):
    """Rows in tables, exactly once: rows and checkpoint commit together.

    `klass` is "ledger" where a skipped event would falsify the books: those are never skipped lightly.
    """

    lane: ClassVar[Lane] = "sql"
    # A tuple of tables. Any, because under mypy's mutable-override a subclass could not narrow the type.
    tables: ClassVar[Any]

    async def prepare(self, reader: Reader, page: Sequence[Recorded]) -> None:
        """Load prior rows the handlers need; once per page, only with events this projection handles."""


class RedisProjection(Projection):
    """Hashes in Redis, exactly once: fields and checkpoint change in one script.

    `twin` names the SQL projection that folds the same facts: it answers while Redis cannot, and tests hold
    the one against the other.
    """

    lane: ClassVar[Lane] = "redis"
    klass = "dashboard"
    twin: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not getattr(cls, "twin", ""):
            raise BadProjection(f"{cls.__name__} names no SQL twin: what would answer while Redis cannot?")


AnyProjection = SqlProjection | RedisProjection

P = TypeVar("P")
B = TypeVar("B", Batch, RedisBatch)
E1 = TypeVar("E1", bound=Event)
E2 = TypeVar("E2", bound=Event)
E3 = TypeVar("E3", bound=Event)
E4 = TypeVar("E4", bound=Event)


@overload
def on(
    first: type[E1], /
) -> Callable[[Callable[[P, B, Recorded, E1], None]], Callable[[P, B, Recorded, E1], None]]: ...
@overload
def on(
    first: type[E1], second: type[E2], /
) -> Callable[[Callable[[P, B, Recorded, E1 | E2], None]], Callable[[P, B, Recorded, E1 | E2], None]]: ...
@overload
def on(
    first: type[E1], second: type[E2], third: type[E3], /
) -> Callable[
    [Callable[[P, B, Recorded, E1 | E2 | E3], None]], Callable[[P, B, Recorded, E1 | E2 | E3], None]
]: ...
@overload
def on(
    first: type[E1], second: type[E2], third: type[E3], fourth: type[E4], /
) -> Callable[
    [Callable[[P, B, Recorded, E1 | E2 | E3 | E4], None]],
    Callable[[P, B, Recorded, E1 | E2 | E3 | E4], None],
]: ...


def on(*event_types: type[Event]) -> Callable[[Any], Any]:
    """Mark a method as the function of one event, or of up to four whose union it takes."""

    def mark(method: Handler) -> Handler:
        method._handles = event_types  # type: ignore[attr-defined]
        return method

    return mark
