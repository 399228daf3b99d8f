"""Columns arrive in the database as they were in the process."""

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from write_model.store import connections
from write_model.store.arrays import Bytes, Column, Dates, Integers, Names, Texts, Uuids

pytestmark = pytest.mark.asyncio
VALUES: dict[type[Column[Any]], list[Any]] = {
    Uuids: [uuid4(), UUID(int=0), UUID(int=2**128 - 1)],
    Texts: ["", "a", "ação 🎈", "x" * 70_000],
    Names: ["user", "user", "", "ação", "user"],
    Integers: [0, 1, -1, 2**31 - 1, -(2**31)],
    Dates: [date(2000, 1, 1), date(1999, 12, 31), date(2026, 11, 23), date(1, 1, 1), date(9999, 12, 31)],
    Bytes: [b"", b"\x00\xff", bytes(70_000)],
}


@pytest.mark.parametrize("kind", VALUES)
async def test_every_kind_of_column_with_and_without_nulls(
    database_url: str, kind: type[Column[Any]]
) -> None:
    values = VALUES[kind]
    columns = [
        [],
        values,
        values[:1],
        [None],
        [None, *values, None],
        [value for v in values for value in (v, None)],
    ]
    connection = await connections.connect(database_url, connections.APP)
    async with connection:
        for column in columns:
            ((found,),) = await (
                await connection.execute("SELECT %b", (kind(column),), binary=True)
            ).fetchall()
            assert found == column
