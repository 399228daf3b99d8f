"""A superuser who takes the guards away, changes something, and puts them back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg

from write_model.store.canonical import COLUMNS, GENESIS, canonical, chain_hash
from write_model.store.chain import Violation


@contextmanager
def tampering(url: str) -> Iterator["psycopg.Connection[Any]"]:
    """A connection for which nothing is append-only."""
    with psycopg.connect(url) as connection:
        guards = connection.execute(
            "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'append_only'"
        ).fetchall()
        for (table,) in guards:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
        yield connection
        for (table,) in guards:
            connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")


def kinds(violations: tuple[Violation, ...]) -> list[str]:
    """What was found, in the order of the words."""
    return sorted(violation.kind for violation in violations)


def rehash(connection: "psycopg.Connection[Any]", company_id: UUID, *, after: int = 0) -> None:
    """Make the chain of a company fit again, from behind a position on, and its head too."""
    connection.execute("SET TIME ZONE 'UTC'")
    texts = ", ".join(
        'to_char(recorded_at, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')'
        if name == "recorded_at"
        else f"{name}::text"
        for name in COLUMNS
    )
    before = connection.execute(
        "SELECT hash FROM ccontrol.events WHERE company_id = %s AND position <= %s "
        "ORDER BY position DESC LIMIT 1",
        (company_id, after),
    ).fetchone()
    previous = GENESIS if before is None else bytes(before[0])
    rows = connection.execute(
        f"SELECT {texts} FROM ccontrol.events WHERE company_id = %s AND position > %s "  # noqa: S608
        "ORDER BY events.position",
        (company_id, after),
    ).fetchall()
    for row in rows:
        digest = chain_hash(previous, canonical([None if text is None else text.encode() for text in row]))
        connection.execute(
            "UPDATE ccontrol.events SET prev_hash = %s, hash = %s WHERE partition = %s AND position = %s",
            (previous, digest, int(row[0]), int(row[1])),
        )
        previous = digest
    connection.execute(
        "UPDATE ccontrol.chain_heads SET hash = %s, length = (SELECT count(*) FROM ccontrol.events "
        "WHERE company_id = %s) WHERE company_id = %s",
        (previous, company_id, company_id),
    )
