"""Columns packed for PostgreSQL arrive as they were, however often their values repeat."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from projections.arrays import PACKS
from projections.connections import connect

VALUES: dict[str, list[Any]] = {
    "int2": [0, -1, 32_767],
    "int4": [0, -1, 2_147_483_647],
    "int8": [0, -1, 2**63 - 1],
    "bool": [True, False],
    "uuid": [UUID(int=0), UUID(int=1), UUID(int=2**128 - 1)],
    "text": ["", "açaí", "a\nb", "x" * 300],
    "date": [date(1999, 12, 31), date(2000, 1, 1), date(2026, 11, 23)],
    "timestamptz": [
        datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=days, microseconds=1) for days in (-1, 0, 9_000)
    ],
}


@pytest.mark.asyncio
async def test_packed_columns_arrive_as_they_were(database_url: str) -> None:
    assert VALUES.keys() == PACKS.keys()
    async with await connect(database_url) as connection:
        for element, distinct in VALUES.items():
            for column in ([], distinct, distinct * 3, [None, *distinct], [*distinct * 3, None], [None] * 3):
                sent = PACKS[element](column)
                cursor = await connection.execute(f"SELECT %b::{element}[]".encode(), [sent])
                assert await cursor.fetchone() == (column,), element
