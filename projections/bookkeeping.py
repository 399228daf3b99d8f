"""What is kept about projections: generations, checkpoints, leases, failures. Schema `read`, `schema.sql`.

projections   which generation of each projection is served, and whether it is paused
generations   the sets of physical tables (or Redis keys) there are, and the code that fills them
checkpoints   up to where each generation has folded each partition: a completed prefix
failures      the event at which a projection stopped, and why
skips         events an operator had left out: named, reasoned, kept
acts          who has paused and resumed a projection, when and why
jobs          long work somebody asked for: rebuild, compare, promote, rollback; and how far it is
leases        which worker folds a partition; the epoch fences those that think they still do
workers       who is alive, so that the partitions can be shared fairly
"""

from importlib.resources import files

import psycopg

from projections.connections import plain_url

CHECKPOINTS_CHANNEL = "ccontrol_checkpoints"
"""Payload: `{"at": {partition: {projection: [generation, position]}}}`, or EVERY_PARTITION.

A partition without projections in it: some have moved there, ask which."""

EVERY_PARTITION = "*"
"""Payload after a promotion, pause, failure or resume: forget everything that was remembered."""

# Raised by read.advance.
LEASE_LOST = "CC001"
CHECKPOINT_MOVED = "CC002"

# Any constant: two processes that start together must not create the same things at once.
_LOCK = 0x7EAD


async def ensure(database_url: str) -> None:
    """Create whatever is missing, as the owner of the database. The roles must exist."""
    schema = files("projections").joinpath("schema.sql").read_bytes()
    async with await psycopg.AsyncConnection.connect(plain_url(database_url)) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        await connection.execute("SET LOCAL client_min_messages = warning")
        await connection.execute(schema)
