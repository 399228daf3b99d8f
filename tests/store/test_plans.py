"""Plans are made once per connection, without statistics, perhaps while the tables are empty.

None of them may read what it does not need.
"""

from uuid import UUID, uuid4

import psycopg
import pytest

from tests.store.submissions import CLERK, claimed, submission
from write_model.store import connections, topics
from write_model.store.arrays import Uuids
from write_model.store.batch import APPEND, Batch, prepared
from write_model.store.connections import Row
from write_model.store.partitions import partition_of

pytestmark = pytest.mark.asyncio
COMPANY = UUID("00000000-0000-4000-8000-000000000001")
PARTITION = partition_of(COMPANY, 8)
MANY = 3_000
# How often an index was followed to a row by this transaction.
FOLLOWED = (
    "SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(i.indexrelid)), 0)::int FROM pg_index i "
    "JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'ccontrol'::regnamespace"
)
STATEMENTS: dict[str, tuple[str, list[object]]] = {
    "keys": (
        "SELECT * FROM ccontrol.command_records(%b, %b, %b, %b)",
        [PARTITION, COMPANY, CLERK, ["none", "no other"]],
    ),
    "command": ("SELECT * FROM ccontrol.command_record(%b, %b, %b)", [PARTITION, COMPANY, uuid4()]),
    "versions": (
        "SELECT * FROM ccontrol.stream_versions(%b, %b, %b)",
        [PARTITION, COMPANY, Uuids([uuid4()])],
    ),
}


def fill(url: str) -> None:
    """History of one company, and nobody has looked at it for statistics."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE ccontrol.commands SET (autovacuum_enabled = off)")
        connection.execute(
            f"ALTER TABLE ccontrol.events_p{PARTITION} SET (autovacuum_enabled = off)".encode()
        )
        connection.execute(
            "INSERT INTO ccontrol.commands SELECT %(partition)s, %(company)s, 'user', %(clerk)s, "
            "gen_random_uuid()::text, '', gen_random_uuid(), 'a.b', 'recorded', '{}', n, n, now() "
            "FROM generate_series(10001, 10000 + %(many)s) AS n",
            {"partition": PARTITION, "company": COMPANY, "clerk": CLERK, "many": MANY},
        )
        connection.execute(
            "INSERT INTO ccontrol.events SELECT %(partition)s, n, %(company)s, gen_random_uuid(), 1, 'a.b', "
            "1, gen_random_uuid(), now(), now(), 'user', %(clerk)s, NULL, gen_random_uuid(), "
            "gen_random_uuid(), NULL, 'api', NULL, '{}', '', '' "
            "FROM generate_series(10001, 10000 + %(many)s) AS n",
            {"partition": PARTITION, "company": COMPANY, "clerk": CLERK, "many": MANY},
        )


async def followed(connection: psycopg.AsyncConnection[Row], query: str, parameters: list[object]) -> int:
    async with connection.transaction():
        await connection.execute(query, parameters, binary=True)
        ((count,),) = await (await connection.execute(FOLLOWED)).fetchall()
    return int(count)


def append() -> tuple[str, list[object]]:
    one = submission(COMPANY, None, 0, claimed())
    batch = Batch(PARTITION, [prepared(one, (topics.encode(one.commands[0].events[0].event),))])
    return APPEND, batch.parameters()


@pytest.mark.parametrize("planned", ["while empty", "when full"])
async def test_no_statement_reads_the_history_of_a_company_to_find_one_key(
    database_url: str, planned: str
) -> None:
    connection = await connections.connect(database_url, connections.APP)
    async with connection:
        if planned == "while empty":
            for query, parameters in (*STATEMENTS.values(), append()):
                await followed(connection, query, parameters)
        fill(database_url)
        for name, (query, parameters) in {**STATEMENTS, "append": append()}.items():
            assert await followed(connection, query, parameters) < 20, name
