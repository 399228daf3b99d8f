"""Whether two generations of a projection, held at the same positions, say the same."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from projections.connections import Connection
from projections.table_writer import physical

SAMPLE_ROWS = 1000


@dataclass(frozen=True, slots=True)
class RowDifference:
    """One key, and what each side has under it; None where it has nothing."""

    key: str
    live: dict[str, Any] | None
    fresh: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class TableComparison:
    """One table (or Redis view) on both sides."""

    table: str
    rows_live: int
    rows_fresh: int
    columns_differing: tuple[str, ...]
    sample: tuple[RowDifference, ...]

    @property
    def equal(self) -> bool:
        return self.rows_live == self.rows_fresh and not self.columns_differing


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole projection. `positions` says at which moment both were looked at."""

    projection: str
    positions: dict[int, int]
    tables: tuple[TableComparison, ...]

    @property
    def equal(self) -> bool:
        return all(table.equal for table in self.tables)


@dataclass(frozen=True, slots=True)
class Side:
    """One generation, seen through one transaction."""

    connection: Connection
    generation: int


async def compare_table(
    table: str, key: Sequence[str], live: Side, fresh: Side, *, sample_rows: int = SAMPLE_ROWS
) -> TableComparison:
    """Counts and checksums of all columns; row by row only where those differ, up to `sample_rows`."""
    columns_live = await _columns(live, table)
    columns_fresh = await _columns(fresh, table)
    common = [name for name in columns_live if name in columns_fresh]
    strange = [name for name in [*columns_live, *columns_fresh] if name not in common]
    sums_live = await _checksums(live, table, key, common)
    sums_fresh = await _checksums(fresh, table, key, common)
    differing = [
        name for name, one, other in zip(common, sums_live[1:], sums_fresh[1:], strict=True) if one != other
    ]
    sample: list[RowDifference] = []
    if differing or sums_live[0] != sums_fresh[0]:
        sample = [row async for row in _differences(table, key, common, live, fresh, sample_rows)]
    return TableComparison(
        table, int(sums_live[0]), int(sums_fresh[0]), (*differing, *strange), tuple(sample)
    )


async def _columns(side: Side, table: str) -> list[str]:
    cursor = await side.connection.execute(
        "SELECT attname FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (physical(table, side.generation),),
    )
    return [row[0] for row in await cursor.fetchall()]


async def _checksums(side: Side, table: str, key: Sequence[str], columns: Sequence[str]) -> tuple[Any, ...]:
    """The number of rows, then a sum per column over hashes of key and value: order does not matter."""
    sums = [f"sum(hashtextextended(ROW({_list([*key, name])})::text, 0)::numeric)" for name in columns]
    cursor = await side.connection.execute(
        f"SELECT count(*), {', '.join(sums)} FROM {physical(table, side.generation)}".encode()  # noqa: S608
    )
    row = await cursor.fetchone()
    return row or (0,)


async def _differences(
    table: str, key: Sequence[str], columns: Sequence[str], live: Side, fresh: Side, wanted: int
) -> AsyncIterator[RowDifference]:
    """The first rows that differ, by walking both sides in the order of their hashed keys."""
    ours, theirs = _rows(live, table, key, columns), _rows(fresh, table, key, columns)
    one, other = await anext(ours, None), await anext(theirs, None)
    found = 0
    while (one or other) and found < wanted:
        if one and other and one[0] == other[0]:
            if one[1] != other[1]:
                found += 1
                yield RowDifference(one[2], one[1], other[1])
            one, other = await anext(ours, None), await anext(theirs, None)
        elif other is None or (one and one[0] < other[0]):
            assert one is not None  # noqa: S101  # one of the two is there
            found += 1
            yield RowDifference(one[2], one[1], None)
            one = await anext(ours, None)
        else:
            found += 1
            yield RowDifference(other[2], None, other[1])
            other = await anext(theirs, None)
    await ours.aclose()
    await theirs.aclose()


_Row = tuple[tuple[int, bytes], dict[str, Any], str]


async def _rows(side: Side, table: str, key: Sequence[str], columns: Sequence[str]) -> Any:
    """Rows in an order that Python and every collation agree on."""
    async with (
        side.connection.transaction(),
        side.connection.cursor(name=f"rows_{side.generation}") as cursor,
    ):
        await cursor.execute(
            f"SELECT hashtextextended(k, 0), k, to_jsonb(r) FROM (SELECT ROW({_list(key)})::text AS k, "  # noqa: S608
            f"{_list(columns)} FROM {physical(table, side.generation)}) AS r "
            f'ORDER BY 1, k COLLATE "C"'.encode()
        )
        async for hashed, text, row in cursor:
            row.pop("k")
            yield (hashed, text.encode()), row, text


def _list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
