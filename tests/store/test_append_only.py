"""History cannot be changed by any statement, not even by the owner of the tables."""

from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, RestrictViolation

from tests.store.submissions import appended, submission
from write_model.store.connections import APP, AUDITOR, PROJECTOR, conninfo
from write_model.store.store import Store

GUARDED = [
    "events",
    *(f"events_p{partition}" for partition in range(8)),
    "commands",
    "refusals",
    "checkpoints",
    "sealing_keys",
    "store_epoch",
]
STATEMENTS = [
    "UPDATE ccontrol.{0} SET {1} = {1}",
    "DELETE FROM ccontrol.{0}",
    "TRUNCATE ccontrol.{0}",
    "DELETE FROM ccontrol.{0} WHERE false",
]


@pytest.mark.parametrize("replication_role", ["origin", "replica"])
@pytest.mark.parametrize("table", GUARDED)
def test_the_owner_can_neither_change_nor_remove(
    database_url: str, table: str, replication_role: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("SET session_replication_role = {}").format(replication_role))
        column = "epoch" if table == "store_epoch" else "key_id" if table == "sealing_keys" else "partition"
        for statement in STATEMENTS:
            with pytest.raises(RestrictViolation, match="append-only"):
                connection.execute(sql.SQL(statement).format(sql.Identifier(table), sql.Identifier(column)))


@pytest.mark.asyncio
@pytest.mark.parametrize("role", [APP, PROJECTOR, AUDITOR])
async def test_no_role_writes_past_the_append_function(store: Store, database_url: str, role: str) -> None:
    await appended(store, submission(uuid4()))
    copy_of_one = {
        "events": "INSERT INTO ccontrol.events SELECT * FROM ccontrol.events LIMIT 1",
        "commands": "INSERT INTO ccontrol.commands SELECT * FROM ccontrol.commands LIMIT 1",
        "heads": "UPDATE ccontrol.partition_heads SET position = 0",
        "chains": "DELETE FROM ccontrol.chain_heads",
        "partition": "INSERT INTO ccontrol.events_p0 SELECT * FROM ccontrol.events LIMIT 1",
    }
    with psycopg.connect(conninfo(database_url, role), autocommit=True) as connection:
        for statement in copy_of_one.values():
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement)


def test_a_version_below_one_is_refused_by_the_table(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        checks = connection.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = 'ccontrol.events'::regclass AND contype IN ('c', 'u', 'p') ORDER BY 1"
        ).fetchall()
    assert [text for (text,) in checks] == [
        "CHECK ((schema_version > 0))",
        "CHECK ((version > 0))",
        'PRIMARY KEY (partition, "position")',
        "UNIQUE (partition, stream_id, version)",
    ]
