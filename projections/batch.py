"""What the events of one page amount to, merged by key in memory, so that few statements write it.

The operations, in the order they were asked for, have the same effect as if each had been run by itself:

    put     insert the row, or replace it whole
    patch   set columns of an existing row; without a row, nothing
    add     create the row with these amounts, or increase them (a missing amount counts as zero)
    remove  delete the row, if there is one

`company_id` and `partition` are those of the event being handled; nobody needs to say them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import Table

Row = dict[str, Any]
Rows = list[Row]
Key = tuple[Any, ...]

_NIL = UUID(int=0)


class BadOperation(ValueError):
    """A handler asked for something its table cannot take."""


class NotLoaded(LookupError):
    """A handler asked for a row that `prepare` has not loaded."""


class Kind(Enum):
    """What a merged operation does to its row."""

    PUT = "put"
    PATCH = "patch"
    ADD = "add"
    REMOVE = "remove"


@dataclass(slots=True)
class Pending:
    """One merged operation: `set` columns take a value, `add` columns grow. No column is in both."""

    kind: Kind
    key: Key
    set: Row = field(default_factory=dict)
    add: Row = field(default_factory=dict)


class TableShape:
    """What merging must know of a table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.name = table.name
        self.columns = tuple(column.name for column in table.columns)
        self.key = tuple(column.name for column in table.primary_key.columns)
        self.values = frozenset(self.columns) - frozenset(self.key)
        self.blank: Row = {
            column.name: column.default.arg if column.default is not None else None  # type: ignore[attr-defined]
            for column in table.columns
            if column.nullable or column.default is not None
        }

    def key_of(self, key: Mapping[str, Any], company_id: UUID, partition: int) -> Key:
        """The whole key; raises when a column of it is missing, foreign, or not of the key."""
        whole = {"company_id": company_id, "partition": partition, **key}
        if len(whole) != len(self.key) or whole["company_id"] != company_id:
            raise BadOperation(f"{self.name}: the key is {self.key}, not {tuple(key)}")
        try:
            return tuple([whole[name] for name in self.key])
        except KeyError as missing:
            raise BadOperation(f"{self.name}: the key lacks {missing}") from None

    def check_values(self, names: Mapping[str, Any]) -> None:
        """Raise unless all are columns outside the key."""
        if not self.values.issuperset(names):
            unknown = sorted(set(names) - self.values)
            raise BadOperation(f"{self.name}: {unknown} are no value columns")


class TableBatch:
    """The merged operations on one table.

    `layers` are written one after the other. Nearly always there is one; a second begins only where two
    operations on one key do not merge into one (an `add` behind a `remove` or a `patch`).
    """

    __slots__ = ("depth", "layers", "loaded", "shape")

    def __init__(self, shape: TableShape) -> None:
        self.shape = shape
        self.layers: list[dict[Key, Pending]] = [{}]
        self.depth: dict[Key, int] = {}
        self.loaded: dict[Key, Row | None] = {}

    def last(self, key: Key) -> Pending | None:
        """The operation that the next one on this key must merge with."""
        return self.layers[self.depth.get(key, 0) if self.depth else 0].get(key)

    def replace(self, pending: Pending) -> None:
        """Forget what came before on this key: `pending` decides the row by itself."""
        key = pending.key
        for layer in self.layers[1:]:
            layer.pop(key, None)
        self.depth.pop(key, None)
        self.layers[0][key] = pending

    def stack(self, pending: Pending) -> None:
        """Write this one after what came before on its key."""
        depth = self.depth.get(pending.key, 0) + 1
        self.depth[pending.key] = depth
        if depth == len(self.layers):
            self.layers.append({})
        self.layers[depth][pending.key] = pending

    def history(self, key: Key) -> Iterator[Pending]:
        """The operations on this key, oldest first."""
        for layer in self.layers:
            if key in layer:
                yield layer[key]


class Batch:
    """The row operations of one projection on one page."""

    def __init__(self, shapes: Mapping[Table, TableShape]) -> None:
        self._shapes = shapes
        self._company = _NIL
        self._partition = -1
        self.tables: dict[str, TableBatch] = {}

    def begin(self, company_id: UUID, partition: int) -> None:
        """The runtime says whose event comes next."""
        self._company = company_id
        self._partition = partition

    def put(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert this row, or replace the one with its key. Columns left out are null or their default."""
        rows = self.of(table)
        shape = rows.shape
        whole = {**shape.blank, "company_id": self._company, "partition": self._partition, **row}
        if len(whole) != len(shape.columns) or whole["company_id"] != self._company:
            raise BadOperation(_wrong_row(shape, whole))
        key = tuple([whole[name] for name in shape.key])
        if rows.depth:
            rows.replace(Pending(Kind.PUT, key, whole))
        else:
            rows.layers[0][key] = Pending(Kind.PUT, key, whole)

    def patch(self, table: Table, *, key: Mapping[str, Any], set: Mapping[str, Any]) -> None:  # noqa: A002
        """Set columns of the row with this key; without such a row, nothing."""
        rows = self.of(table)
        rows.shape.check_values(set)
        whole_key = rows.shape.key_of(key, self._company, self._partition)
        before = rows.last(whole_key)
        if not set:
            return
        if before is None:
            rows.layers[0][whole_key] = Pending(Kind.PATCH, whole_key, dict(set))
        elif before.kind is not Kind.REMOVE:
            before.set.update(set)
            for name in before.add.keys() & set.keys():
                del before.add[name]

    def add(
        self,
        table: Table,
        *,
        key: Mapping[str, Any],
        add: Mapping[str, Any],
        set: Mapping[str, Any] | None = None,  # noqa: A002
    ) -> None:
        """Create the row with these amounts, or increase them; `set` columns take their value either way."""
        rows = self.of(table)
        shape = rows.shape
        shape.check_values(add)
        if set:
            shape.check_values(set)
        whole_key = shape.key_of(key, self._company, self._partition)
        before = rows.last(whole_key)
        if before is not None and before.kind in (Kind.PUT, Kind.ADD):
            _increase(before, add)
            before.set.update(set or {})
            for name in before.add.keys() & (set or {}).keys():
                del before.add[name]
            return
        pending = Pending(
            Kind.ADD, whole_key, dict(set or {}), {k: v for k, v in add.items() if k not in (set or {})}
        )
        if before is None:
            rows.layers[0][whole_key] = pending
        else:
            rows.stack(pending)

    def remove(self, table: Table, *, key: Mapping[str, Any]) -> None:
        """Delete the row with this key, if there is one."""
        rows = self.of(table)
        rows.replace(Pending(Kind.REMOVE, rows.shape.key_of(key, self._company, self._partition)))

    def row(self, table: Table, key: Mapping[str, Any]) -> Row | None:
        """The row as it stands now, with what this page has done to it; `prepare` must have loaded it."""
        rows = self.of(table)
        whole_key = rows.shape.key_of(key, self._company, self._partition)
        history = list(rows.history(whole_key))
        decided = bool(history) and history[0].kind in (Kind.PUT, Kind.REMOVE)
        if not decided and whole_key not in rows.loaded:
            raise NotLoaded(f"{rows.shape.name}: load this row in `prepare`")
        row = None if decided else rows.loaded[whole_key]
        for pending in history:
            row = _applied(rows.shape, pending, row)
        return dict(row) if row is not None else None

    def of(self, table: Table) -> TableBatch:
        """The operations on one table so far."""
        found = self.tables.get(table.name)
        if found is None:
            if table not in self._shapes:
                raise BadOperation(f"{table.name} is not among the tables of this projection")
            found = self.tables[table.name] = TableBatch(self._shapes[table])
        return found


class RedisBatch:
    """The field operations of one Redis projection on one page; a view is a hash."""

    def __init__(self) -> None:
        self.increments: dict[tuple[str, str], int] = {}
        self.stores: dict[tuple[str, str], str | None] = {}

    def increment(self, view: str, field: str, delta: int) -> None:
        """Add to a field; a missing one counts as zero."""
        place = (view, field)
        if place in self.stores:
            self.stores[place] = str(int(self.stores[place] or 0) + delta)
        else:
            self.increments[place] = self.increments.get(place, 0) + delta

    def store(self, view: str, field: str, text: str) -> None:
        """Set a field."""
        self.increments.pop((view, field), None)
        self.stores[view, field] = text

    def discard(self, view: str, field: str) -> None:
        """Delete a field, if it is there."""
        self.increments.pop((view, field), None)
        self.stores[view, field] = None


def _increase(pending: Pending, amounts: Mapping[str, Any]) -> None:
    for name, amount in amounts.items():
        if pending.kind is Kind.PUT or name in pending.set:
            pending.set[name] = (pending.set[name] or 0) + amount
        else:
            pending.add[name] = pending.add.get(name, 0) + amount


def _applied(shape: TableShape, pending: Pending, row: Row | None) -> Row | None:
    """What one operation makes of a row."""
    match pending.kind:
        case Kind.REMOVE:
            return None
        case Kind.PUT:
            return pending.set
        case Kind.PATCH:
            return row | pending.set if row is not None else None
        case Kind.ADD:
            base = row if row is not None else shape.blank | dict(zip(shape.key, pending.key, strict=True))
            return base | pending.set | {name: (base.get(name) or 0) + by for name, by in pending.add.items()}


def _wrong_row(shape: TableShape, row: Row) -> str:
    missing = sorted(set(shape.columns) - row.keys())
    unknown = sorted(row.keys() - set(shape.columns))
    if not missing and not unknown:
        return f"{shape.name}: the row is of another company than the event"
    return f"{shape.name}: columns missing: {missing}, unknown: {unknown}"
