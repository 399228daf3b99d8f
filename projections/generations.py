"""The physical tables of a generation, and the views through which one generation is served."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import Index, MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import quoted_name

from projections.connections import ROLE, Connection
from projections.projector import AnyProjection, SqlProjection
from projections.table_writer import physical
from read_model.database import SCHEMA

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]

# FORCE, because the projector owns its tables and owners are exempt otherwise. The projector folds for every
# company; the application sees the one it has named in this transaction, and without a name no row at all.
_ISOLATION = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON {table} FOR SELECT TO ccontrol_app
    USING (company_id = NULLIF(current_setting('ccontrol.company', true), '')::uuid);
CREATE POLICY projector ON {table} TO {role} USING (true) WITH CHECK (true);
GRANT SELECT ON {table} TO ccontrol_app;
"""


def tables_of(projection: type[AnyProjection] | AnyProjection) -> tuple[Table, ...]:
    """The tables a projection fills; none for Redis."""
    kind = projection if isinstance(projection, type) else type(projection)
    return kind.tables if issubclass(kind, SqlProjection) else ()


def shape_of(projection: type[AnyProjection]) -> str:
    """Changes when a column or index changes, also where somebody forgot to raise the version."""
    text = "\n".join(
        statement for table in tables_of(projection) for statement in [_create(table, 0), *_indexes(table, 0)]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


async def create_tables(
    connection: Connection, tables: tuple[Table, ...], generation: int, *, indexed: bool
) -> None:
    """Create the tables of a generation, with or without their secondary indexes."""
    for table in tables:
        await connection.execute(_create(table, generation).encode())
        await connection.execute(
            _ISOLATION.format(table=physical(table.name, generation), role=ROLE).encode()
        )
    if indexed:
        await create_indexes(connection, tables, generation)


async def create_indexes(connection: Connection, tables: tuple[Table, ...], generation: int) -> None:
    """Create the secondary indexes; after the bulk of the rows this costs a fraction of keeping them."""
    for table in tables:
        for statement in _indexes(table, generation):
            await connection.execute(statement.encode())


async def point_views(
    connection: Connection, names: Sequence[str], generation: int, former: Sequence[str]
) -> None:
    """Serve this generation from the end of this transaction on; `former` are the tables served until now."""
    for name in sorted(set(former) - set(names)):
        await connection.execute(f'DROP VIEW IF EXISTS {SCHEMA}."{name}"'.encode())
    for name in names:
        await _point_view(connection, name, generation)


async def _point_view(connection: Connection, table: str, generation: int) -> None:
    """The columns come from the table, not from the code: a rollback serves what older code has made."""
    view = f'{SCHEMA}."{table}"'
    served = await _columns(connection, view)
    wanted = await _columns(connection, physical(table, generation))
    if served and served != wanted:
        # A view cannot change its columns. To a reader the two are one step: it waits for our transaction.
        await connection.execute(f"DROP VIEW {view}".encode())
    columns = ", ".join(f'"{name}"' for name, _ in wanted)
    await connection.execute(
        f"CREATE OR REPLACE VIEW {view} WITH (security_invoker = true) AS "  # noqa: S608  # names out of the code
        f"SELECT {columns} FROM {physical(table, generation)}".encode()
    )
    await connection.execute(f"GRANT SELECT ON {view} TO ccontrol_app".encode())


async def _columns(connection: Connection, name: str) -> list[tuple[str, str]]:
    cursor = await connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (name,),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def drop_tables(connection: Connection, names: Sequence[str], generation: int) -> None:
    """Drop the tables of a generation nobody is served from."""
    for name in names:
        await connection.execute(f"DROP TABLE IF EXISTS {physical(name, generation)}".encode())


def _create(table: Table, generation: int) -> str:
    return str(CreateTable(_renamed(table, generation)).compile(dialect=_DIALECT))


def _indexes(table: Table, generation: int) -> list[str]:
    renamed = _renamed(table, generation)
    found: list[Index] = sorted(renamed.indexes, key=lambda index: str(index.name))
    for index in found:
        index.name = quoted_name(f"{index.name}_g{generation}", None)
    return [str(CreateIndex(index).compile(dialect=_DIALECT)) for index in found]


def _renamed(table: Table, generation: int) -> Table:
    return table.to_metadata(MetaData(), schema=SCHEMA, name=f"{table.name}_g{generation}")
