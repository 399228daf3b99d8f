"""Merging by key changes no outcome: whatever the operations, the rows are those of running them singly."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    MetaData,
    Numeric,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from projections.batch import BadOperation, Batch, NotLoaded, RedisBatch, TableShape
from projections.connections import connect
from projections.generations import create_tables
from projections.table_writer import physical, write
from read_model.database import BadReadTable, read_table

T = read_table(
    "batch_rows",
    Column("id", Integer, primary_key=True),
    Column("a", BigInteger, nullable=False, default=0),
    Column("b", BigInteger),
    Column("t", Text),
    metadata=MetaData(),
)
SHAPES = {T: TableShape(T)}
COMPANY = uuid4()


def batch() -> Batch:
    made = Batch(SHAPES)
    made.begin(COMPANY, 3)
    return made


class Operation(NamedTuple):
    kind: str
    id: int
    set: dict[str, Any]
    add: dict[str, int]

    def run(self, on: Batch) -> None:
        match self.kind:
            case "put":
                on.put(T, {"id": self.id, **self.set})
            case "patch":
                on.patch(T, key={"id": self.id}, set=self.set)
            case "add":
                on.add(T, key={"id": self.id}, add=self.add, set=self.set)
            case "remove":
                on.remove(T, key={"id": self.id})


sets = st.fixed_dictionaries(
    {}, optional={"a": st.integers(-9, 9), "b": st.integers(-9, 9), "t": st.text("xy", max_size=2)}
)
adds = st.fixed_dictionaries({}, optional={"a": st.integers(-9, 9), "b": st.integers(-9, 9)})
operations = st.lists(
    st.builds(Operation, st.sampled_from(["put", "patch", "add", "remove"]), st.integers(1, 3), sets, adds),
    max_size=12,
)


@given(given_operations=operations)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_merged_operations_do_what_single_ones_do(
    database_url: str, given_operations: list[Operation]
) -> None:
    asyncio.run(_compare(database_url, given_operations))


async def _compare(url: str, given_operations: list[Operation]) -> None:
    await _prepare(url)
    async with await connect(url) as connection:
        await connection.execute(f"TRUNCATE {physical(T.name, 1)}, {physical(T.name, 2)}".encode())
        start = [Operation("put", 1, {"a": 1}, {}), Operation("put", 2, {"b": 2}, {})]
        merged, naive = batch(), batch()
        naive.of(T).loaded.update({(COMPANY.int, n): None for n in (1, 2, 3)})
        for operation in start:
            for generation in (1, 2):
                single = batch()
                operation.run(single)
                await write(connection, single, generation)
        loaded = await _rows(connection, 1)
        merged.of(T).loaded.update({(COMPANY.int, n): loaded.get(n) for n in (1, 2, 3)})
        for operation in given_operations:
            operation.run(merged)
            single = batch()
            operation.run(single)
            await write(connection, single, 2)
        await write(connection, merged, 1)
        one, two = await _rows(connection, 1), await _rows(connection, 2)
        assert one == two
        for n in (1, 2, 3):
            assert merged.row(T, {"id": n}) == two.get(n)


_prepared: set[str] = set()


async def _prepare(url: str) -> None:
    if url in _prepared:
        return
    async with await connect(url) as connection:
        for generation in (1, 2):
            await create_tables(connection, (T,), generation, indexed=True)
    _prepared.add(url)


async def _rows(connection: psycopg.AsyncConnection[Any], generation: int) -> dict[int, dict[str, Any]]:
    cursor = await connection.execute(f"SELECT * FROM {physical(T.name, generation)}".encode())  # noqa: S608
    names = [column.name for column in cursor.description or ()]
    return {row[1]: dict(zip(names, row, strict=True)) for row in await cursor.fetchall()}


EVERY_TYPE = read_table(
    "batch_types",
    Column("id", Integer, primary_key=True),
    Column("amount", Numeric(18, 4)),
    Column("flag", Boolean),
    Column("day", Date),
    Column("at", DateTime(timezone=True)),
    Column("other", Uuid),
    Column("document", JSONB),
    Column("tags", ARRAY(Text)),
    Column("ids", ARRAY(Uuid)),
    metadata=MetaData(),
)


def test_every_type_of_column_arrives_as_it_was(database_url: str) -> None:
    rows: list[Mapping[str, Any]] = [
        {
            "id": 1,
            "amount": Decimal("12.3400"),
            "flag": True,
            "day": date(2026, 2, 28),
            "at": datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
            "other": uuid4(),
            "document": {"nome": 'ação "o \\ velho"', "n": [1, None, {"x": "y"}]},
            "tags": [
                "a",
                'with "quotes"',
                "back\\slash",
                "com,ma",
                "{brace}",
                "",
                "NULL",
                "linha\nnova",
                "ção",
            ],
            "ids": [UUID(int=1), UUID(int=2)],
        },
        {"id": 2, "amount": 7, "tags": [], "document": None},
        {"id": 3},
    ]

    async def scenario() -> None:
        await _prepare(database_url)
        async with await connect(database_url) as connection:
            await create_tables(connection, (EVERY_TYPE,), 1, indexed=True)
            made = Batch({EVERY_TYPE: TableShape(EVERY_TYPE)})
            made.begin(COMPANY, 3)
            for row in rows:
                made.put(EVERY_TYPE, row)
            await write(connection, made, 1)
            nothing_but_nulls = Batch({EVERY_TYPE: TableShape(EVERY_TYPE)})
            nothing_but_nulls.begin(COMPANY, 3)
            nothing_but_nulls.put(EVERY_TYPE, {"id": 4})
            await write(connection, nothing_but_nulls, 1)
            cursor = await connection.execute("SELECT * FROM read.batch_types_g1 ORDER BY id")
            names = [column.name for column in cursor.description or ()]
            found = [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]
        for wanted, got in zip([*rows, {"id": 4}], found, strict=True):
            for name in names[1:-1]:
                assert got[name] == wanted.get(name), name

    asyncio.run(scenario())


def test_a_handler_that_asks_for_nonsense_is_told_what_is_wrong() -> None:
    with pytest.raises(BadOperation, match="unknown: \\['wrong'\\]"):
        batch().put(T, {"id": 1, "wrong": 2})
    with pytest.raises(BadOperation, match="missing: \\['id'\\]"):
        batch().put(T, {"a": 1})
    with pytest.raises(BadOperation, match="missing: \\['id'\\], unknown: \\['wrong'\\]"):
        batch().put(T, {"wrong": 2})
    with pytest.raises(BadOperation, match="another company"):
        batch().put(T, {"id": 1, "company_id": uuid4()})
    with pytest.raises(BadOperation, match="no value columns"):
        batch().patch(T, key={"id": 1}, set={"id": 2})
    with pytest.raises(BadOperation, match="the key lacks"):
        batch().remove(T, key={"nope": 1})
    with pytest.raises(BadOperation, match="not among the tables"):
        batch().remove(EVERY_TYPE, key={"id": 1})
    with pytest.raises(NotLoaded):
        batch().row(T, {"id": 1})


def test_a_read_table_refuses_what_cannot_be_rebuilt() -> None:
    other = MetaData()
    with pytest.raises(BadReadTable):
        read_table("x", Column("at", DateTime, server_default=func.now()), metadata=other)
    with pytest.raises(BadReadTable):
        read_table("x", Column("at", DateTime, default=datetime.now), metadata=other)
    with pytest.raises(BadReadTable):
        read_table("x", Column("n", Integer), Index("x_n", "n", unique=True), metadata=other)


def test_a_field_operation_forgets_what_it_overwrites() -> None:
    fields = RedisBatch()
    fields.increment("v", "n", 2)
    fields.increment("v", "n", 3)
    fields.store("v", "t", "7")
    fields.increment("v", "t", 1)
    fields.increment("v", "gone", 1)
    fields.discard("v", "gone")
    fields.discard("v", "back")
    fields.increment("v", "back", 4)
    assert fields.increments == {("v", "n"): 5}
    assert fields.stores == {("v", "t"): "8", ("v", "gone"): None, ("v", "back"): "4"}
