"""What is kept about what leaves the house. Schema `integration`, `schema.sql`.

relay            up to where each partition has been published, how often it failed, and why
consumed         up to where each queue has been dealt with: if it is lost, the relay goes back to there
dead_letters     messages that could not be dealt with, and what operators decided about them
consumers        which process consumes which queue, and what came of it
local_bindings   the queues of the local broker: which events each gets
local_messages   what is in them
webhook_…        what is told to webhooks, what came of it, and which of them fail: webhooks/schema.sql
"""

from hashlib import sha256
from importlib.resources import files

import psycopg
from psycopg import sql

from projections import bookkeeping as projections
from projections.connections import plain_url

# Any constant: two processes that start together must not create the same things at once.
_LOCK = 0x7EAC
_PATIENCE = "5s"

# What made the tables that are there.
_VERSION = "SELECT obj_description(to_regnamespace('integration'), 'pg_namespace')"


async def ensure(database_url: str) -> None:
    """Create whatever is missing, as the owner of the database. The roles and the store must exist.

    Only if it is not all there, as it takes locks that a backup, or whoever works with the tables, stands in
    the way of. Raises LockNotAvailable when they do so for longer than others should wait behind it.
    """
    await projections.ensure(database_url)  # the leases are kept there
    room = files("integration")
    schema = room.joinpath("schema.sql").read_bytes()
    webhooks = room.joinpath("webhooks", "schema.sql").read_bytes()
    version = sha256(schema + webhooks).hexdigest()
    async with await psycopg.AsyncConnection.connect(plain_url(database_url)) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        cursor = await connection.execute(_VERSION)
        if await cursor.fetchone() == (version,):
            return
        await connection.execute("SET LOCAL client_min_messages = warning")
        await connection.execute("SELECT set_config('lock_timeout', %s, true)", (_PATIENCE,))
        await connection.execute(schema)
        await connection.execute(webhooks)
        await connection.execute(sql.SQL("COMMENT ON SCHEMA integration IS {}").format(version))
