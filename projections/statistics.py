"""What the planner knows of the tables that are served.

A table without statistics passes for small. Joins of two such tables are then planned row by row: a page of
instalments with the names of customers took a second after an import of 7,000, and four times as long for
each doubling. PostgreSQL's own autovacuum looks once a minute, which is long for whoever has just imported.
"""

from psycopg import sql

from projections.connections import Connection

# Of a table that has as many new rows as it had when it was last looked through, and enough to matter.
_OUTGROWN = """
SELECT c.relname FROM read.generations g CROSS JOIN unnest(g.tables) AS name
    JOIN pg_catalog.pg_class c
        ON c.relname = name || '_g' || g.generation AND c.relnamespace = 'read'::regnamespace
    WHERE g.status = 'live' AND pg_stat_get_mod_since_analyze(c.oid) > 1000 + greatest(c.reltuples, 0)
"""


async def refresh(connection: Connection) -> list[str]:
    """Look through the tables that have outgrown what is known of them; returns their names."""
    found: list[str] = [name for (name,) in await (await connection.execute(_OUTGROWN)).fetchall()]
    for name in found:
        # Whoever holds it back, a rebuild or autovacuum, looks through it as well.
        await connection.execute(sql.SQL("ANALYZE (SKIP_LOCKED) read.{}").format(sql.Identifier(name)))
    return found
