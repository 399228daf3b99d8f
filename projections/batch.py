"""What the events of one page amount to, merged by key in memory, so that few statements write it.

The operations, in the order they were asked for, have the same effect as if each had been run by itself:

    put     insert the row, or replace it whole
    patch   set columns of an existing row; without a row, nothing
    add     create the row with these amounts, or increase them (a missing amount counts as zero)
    remove  delete the row, if there is one

`company_id` and `partition` are those of the event being handled; nobody needs to say them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Table, Uuid

Row = dict[str, Any]
Rows = list[Row]
Key = tuple[Any, ...]
Identity = tuple[Any, ...]

_ENVELOPE = ("company_id", "partition")
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


_GROWING = (Kind.PUT, Kind.ADD)
_DECIDING = (Kind.PUT, Kind.REMOVE)
# A member of an Enum is looked up in Python.
_ADD = Kind.ADD


_NOTHING: Row = {}


class Pending:
    """One merged operation: `set` columns take a value, `add` columns grow. No column is in both.

    The `set` of a put is the whole row, so it needs no key.
    """

    __slots__ = ("add", "key", "kind", "set")

    def __init__(self, kind: Kind, key: Key, set_: Row = _NOTHING, add: Row = _NOTHING) -> None:
        self.kind = kind
        self.key = key
        self.set = set_
        self.add = add


class TableShape:
    """What merging must know of a table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.name = table.name
        self.columns = tuple(column.name for column in table.columns)
        self.key = tuple(column.name for column in table.primary_key.columns)
        self.own = tuple(name for name in self.key if name not in _ENVELOPE)
        self.values = frozenset(self.columns) - frozenset(self.key)
        self.blank: Row = {
            column.name: column.default.arg if column.default is not None else None  # type: ignore[attr-defined]
            for column in table.columns
            if column.nullable or column.default is not None
        }
        self.lacking: dict[tuple[str, ...], Row] = {}
        """What rows with these columns leave out; of rows that were found in order before."""
        ids = frozenset(name for name in self.own if isinstance(table.c[name].type, Uuid))
        self._identify = _identifier(self.own, ids)

    def identity(self, company_id: UUID, key: Mapping[str, Any]) -> Identity:
        """What tells rows apart within a partition."""
        try:
            return self._identify(company_id, key)
        except KeyError as missing:
            raise BadOperation(f"{self.name}: the key lacks {missing}") from None
        except AttributeError:
            raise BadOperation(f"{self.name}: an id of the key is no UUID") from None

    def lacking_in(self, row: Row) -> Row:
        """What a row leaves out and may. Raises BadOperation unless the rest is there, and nothing else."""
        given = row.keys() - frozenset(_ENVELOPE)
        blank = {name: value for name, value in self.blank.items() if name not in given}
        if given | blank.keys() | frozenset(_ENVELOPE) != frozenset(self.columns):
            raise BadOperation(_wrong_row(self, row | blank))
        self.lacking[tuple(row)] = blank
        return blank

    def check_key(self, key: Mapping[str, Any], company_id: UUID) -> None:
        """Raise when there is more in a key than it has columns, or another company."""
        if key.get("company_id", company_id) != company_id or not key.keys() <= frozenset(self.key):
            raise BadOperation(f"{self.name}: the key is {self.own}, not {tuple(key)}")

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
        self.layers: list[dict[Identity, Pending]] = [{}]
        self.depth: dict[Identity, int] = {}
        self.loaded: dict[Identity, Row | None] = {}

    def last(self, identity: Identity) -> Pending | None:
        """The operation that the next one on this key must merge with."""
        return self.layers[self.depth.get(identity, 0) if self.depth else 0].get(identity)

    def replace(self, identity: Identity, pending: Pending) -> None:
        """Forget what came before on this key: `pending` decides the row by itself."""
        if self.depth.pop(identity, 0):
            for layer in self.layers[1:]:
                layer.pop(identity, None)
        self.layers[0][identity] = pending

    def stack(self, identity: Identity, pending: Pending) -> None:
        """Write this one after what came before on its key."""
        depth = self.depth.get(identity, 0) + 1
        self.depth[identity] = depth
        if depth == len(self.layers):
            self.layers.append({})
        self.layers[depth][identity] = pending


class Batch:
    """The row operations of one projection on one page of one partition."""

    def __init__(self, shapes: Mapping[Table, TableShape]) -> None:
        self._shapes = shapes
        self._company = _NIL
        self._partition = -1
        self.tables: dict[Table, TableBatch] = {}

    def begin(self, company_id: UUID, partition: int) -> None:
        """The runtime says whose event comes next."""
        self._company = company_id
        self._partition = partition

    def put(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert this row, or replace the one with its key. Columns left out are null or their default."""
        rows = self.tables.get(table) or self.of(table)
        shape = rows.shape
        company = self._company
        if "company_id" in row and row["company_id"] != company:
            raise BadOperation(f"{shape.name}: the row is of another company than the event")
        lacking = shape.lacking.get(tuple(row))
        if lacking is None:
            lacking = shape.lacking_in(dict(row))
        # In this order the dict is copied as it is rather than made anew; most rows lack nothing.
        whole = {**row, **lacking, "company_id": company, "partition": self._partition}
        identity = shape.identity(company, whole)
        pending = Pending(Kind.PUT, (), whole)
        if rows.depth:
            rows.replace(identity, pending)
        else:
            rows.layers[0][identity] = pending

    def patch(self, table: Table, *, key: Mapping[str, Any], set: Mapping[str, Any]) -> None:  # noqa: A002
        """Set columns of the row with this key; without such a row, nothing."""
        rows, identity = self._find(table, key)
        rows.shape.check_values(set)
        before = rows.last(identity)
        if not set:
            return
        if before is None:
            rows.layers[0][identity] = Pending(Kind.PATCH, self._whole(rows.shape, key), dict(set))
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
        rows, identity = self._find(table, key)
        before = rows.last(identity) if rows.depth else rows.layers[0].get(identity)
        if before is not None and not set and before.kind is _ADD and not before.set:
            sums = before.add
            if sums.keys() == add.keys():
                # What most of a catch-up is; the columns were checked the first time.
                for name, by in add.items():
                    sums[name] += by
                return
        shape = rows.shape
        shape.check_values(add)
        if set:
            shape.check_values(set)
        if before is not None and before.kind in _GROWING:
            _increase(before, add)
            if set:
                before.set.update(set)
                for name in before.add.keys() & set.keys():
                    del before.add[name]
            return
        amounts = {name: by for name, by in add.items() if name not in set} if set else dict(add)
        pending = Pending(Kind.ADD, self._whole(shape, key), dict(set or ()), amounts)
        if before is None:
            rows.layers[0][identity] = pending
        else:
            rows.stack(identity, pending)

    def remove(self, table: Table, *, key: Mapping[str, Any]) -> None:
        """Delete the row with this key, if there is one."""
        rows, identity = self._find(table, key)
        rows.replace(identity, Pending(Kind.REMOVE, self._whole(rows.shape, key)))

    def row(self, table: Table, key: Mapping[str, Any]) -> Row | None:
        """The row as it stands now, with what this page has done to it; `prepare` must have loaded it."""
        rows, identity = self._find(table, key)
        history = [layer[identity] for layer in rows.layers if identity in layer]
        if history and history[0].kind in _DECIDING:
            row = None
        elif identity in rows.loaded:
            row = rows.loaded[identity]
        else:
            raise NotLoaded(f"{rows.shape.name}: load this row in `prepare`")
        for pending in history:
            row = _applied(rows.shape, pending, row)
        return dict(row) if row is not None else None

    def of(self, table: Table) -> TableBatch:
        """The operations on one table so far."""
        found = self.tables.get(table)
        if found is None:
            if table not in self._shapes:
                raise BadOperation(f"{table.name} is not among the tables of this projection")
            found = self.tables[table] = TableBatch(self._shapes[table])
        return found

    def _find(self, table: Table, key: Mapping[str, Any]) -> tuple[TableBatch, Identity]:
        rows = self.tables.get(table) or self.of(table)
        shape = rows.shape
        identity = shape.identity(self._company, key)
        if len(key) != len(shape.own):
            shape.check_key(key, self._company)
        return rows, identity

    def _whole(self, shape: TableShape, key: Mapping[str, Any]) -> Key:
        whole = {**key, "company_id": self._company, "partition": self._partition}
        return tuple([whole[name] for name in shape.key])


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
    missing = sorted(set(shape.columns) - row.keys() - set(_ENVELOPE))
    unknown = sorted(row.keys() - set(shape.columns))
    return f"{shape.name}: columns missing: {missing}, unknown: {unknown}"


def _identifier(own: Sequence[str], ids: Collection[str]) -> Callable[[UUID, Mapping[str, Any]], Identity]:
    """How the rows of a table are told apart. An id stands as its number: UUID hashes itself in Python, and
    that alone was a fifth of the time of a rebuild.
    """
    values: Callable[[Any], Any] = itemgetter(*own) if own else lambda key: ()
    match [name in ids for name in own]:
        case [True]:
            return lambda company_id, key: (company_id.int, values(key).int)
        case [True, False]:
            first, second = own
            return lambda company_id, key: (company_id.int, key[first].int, key[second])
        case places if any(places):
            return lambda company_id, key: (
                company_id.int,
                *[key[name].int if name in ids else key[name] for name in own],
            )
    return lambda company_id, key: (company_id.int, values(key))
