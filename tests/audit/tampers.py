"""Ways in which somebody with all rights on the database may change the past.

Each is given a connection without guards and a source of chance, and says which words the verifier must find
for it, one of them at least, and at which position, where there is one.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.store.tampering import rehash
from write_model.store.canonical import COLUMNS
from write_model.store.sealing import key_id_of, public_bytes, statement

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Expected:
    """What must be found."""

    kinds: frozenset[str]
    partition: int | None = None
    position: int | None = None


@dataclass(frozen=True)
class Event:
    """Which event was chosen."""

    partition: int
    position: int
    company_id: UUID


Tamper = Callable[[Connection, random.Random], Expected]

OTHERWISE = {
    "partition": "7",
    "position": "position + 1000",
    "company_id": "gen_random_uuid()",
    "stream_id": "gen_random_uuid()",
    "version": "version + 100",
    "topic": "'claims.released'",
    "schema_version": "schema_version + 1",
    "event_id": "gen_random_uuid()",
    "effective_date": "effective_date + 1",
    "recorded_at": "recorded_at + interval '1 microsecond'",
    "actor_kind": "actor_kind || 'x'",
    "actor_id": "gen_random_uuid()",
    "on_behalf_of": "gen_random_uuid()",
    "command_id": "gen_random_uuid()",
    "correlation_id": "gen_random_uuid()",
    "causation_id": "gen_random_uuid()",
    "channel": "channel || ' '",
    "reason": "coalesce(reason, '') || 'x'",
    "data": "replace(data, '{', '{ ')",
    "prev_hash": "sha256(prev_hash)",
    "hash": "sha256(hash)",
}
assert set(OTHERWISE) == {*COLUMNS, "prev_hash", "hash"}


def _any_event(connection: Connection, chance: random.Random, *, last: bool = True) -> Event:
    rows = connection.execute(
        "SELECT e.partition, e.position, e.company_id FROM ccontrol.events e JOIN ccontrol.partition_heads h "
        "USING (partition) WHERE %s OR e.position < h.position ORDER BY 1, 2",
        (last,),
    ).fetchall()
    return Event(*chance.choice(rows))


def _edit(connection: Connection, chance: random.Random, event: Event, column: str | None = None) -> str:
    column = column or chance.choice([name for name in OTHERWISE if name not in ("prev_hash", "hash")])
    connection.execute(
        f"UPDATE ccontrol.events SET {column} = {OTHERWISE[column]} WHERE partition = %s AND position = %s",
        (event.partition, event.position),
    )
    return column


def edit_a_column(connection: Connection, chance: random.Random) -> Expected:
    event = _any_event(connection, chance)
    column = _edit(connection, chance, event, chance.choice(list(OTHERWISE)))
    kinds = frozenset({"event-altered", "link-broken"})
    if column in ("partition", "position", "company_id"):
        return Expected(kinds)
    return Expected(kinds, event.partition, event.position)


def edit_and_rehash_one(connection: Connection, chance: random.Random) -> Expected:
    """The event itself fits again; what follows it does not."""
    event = _any_event(connection, chance)
    _edit(
        connection, chance, event, chance.choice(["data", "effective_date", "actor_id", "reason", "channel"])
    )
    heads = connection.execute("SELECT * FROM ccontrol.chain_heads").fetchall()
    rest = connection.execute(
        "SELECT partition, position, prev_hash, hash FROM ccontrol.events "
        "WHERE company_id = %s AND position > %s",
        (event.company_id, event.position),
    ).fetchall()
    rehash(connection, event.company_id, after=event.position - 1)
    for partition, position, previous, digest in rest:
        connection.execute(
            "UPDATE ccontrol.events SET prev_hash = %s, hash = %s WHERE partition = %s AND position = %s",
            (previous, digest, partition, position),
        )
    for partition, company_id, length, digest in heads:
        connection.execute(
            "UPDATE ccontrol.chain_heads SET length = %s, hash = %s WHERE partition = %s AND company_id = %s",
            (length, digest, partition, company_id),
        )
    return Expected(frozenset({"link-broken", "chain-head-wrong"}))


def delete_an_event(connection: Connection, chance: random.Random) -> Expected:
    event = _any_event(connection, chance, last=False)
    _delete(connection, event)
    return Expected(frozenset({"position-gap"}), event.partition, event.position + 1)


def delete_and_close_the_gap(connection: Connection, chance: random.Random) -> Expected:
    event = _any_event(connection, chance)
    _delete(connection, event)
    later = connection.execute(
        "SELECT position FROM ccontrol.events WHERE partition = %s AND position > %s ORDER BY position",
        (event.partition, event.position),
    ).fetchall()
    for (position,) in later:
        connection.execute(
            "UPDATE ccontrol.events SET position = %s WHERE partition = %s AND position = %s",
            (position - 1, event.partition, position),
        )
    connection.execute(
        "UPDATE ccontrol.partition_heads SET position = position - 1 WHERE partition = %s", (event.partition,)
    )
    return Expected(frozenset({"event-altered", "chain-head-wrong"}))


def insert_an_event(connection: Connection, chance: random.Random) -> Expected:
    """Behind the last of its partition, as if somebody had appended it; with the hashes of another."""
    event = _any_event(connection, chance)
    same_id = chance.random() < 0.5
    connection.execute(
        "INSERT INTO ccontrol.events SELECT partition, "
        "(SELECT position + 1 FROM ccontrol.partition_heads h WHERE h.partition = e.partition), "
        "company_id, stream_id, "
        "(SELECT max(version) + 1 FROM ccontrol.events v WHERE v.stream_id = e.stream_id), topic, "
        "schema_version, CASE WHEN %s THEN event_id ELSE gen_random_uuid() END, effective_date, "
        "recorded_at, actor_kind, actor_id, on_behalf_of, command_id, correlation_id, causation_id, "
        "channel, reason, data, prev_hash, hash FROM ccontrol.events e "
        "WHERE partition = %s AND position = %s",
        (same_id, event.partition, event.position),
    )
    if chance.random() < 0.5:
        connection.execute(
            "UPDATE ccontrol.partition_heads SET position = position + 1 WHERE partition = %s",
            (event.partition,),
        )
    kinds = {"event-altered", "link-broken"}
    return Expected(frozenset(kinds | {"event-repeated"} if same_id else kinds))


def swap_two_events(connection: Connection, chance: random.Random) -> Expected:
    one = _any_event(connection, chance)
    other = one
    while other == one or other.partition != one.partition:
        other = _any_event(connection, chance)
    for before, after in ((one.position, -1), (other.position, one.position), (-1, other.position)):
        connection.execute(
            "UPDATE ccontrol.events SET position = %s WHERE partition = %s AND position = %s",
            (after, one.partition, before),
        )
    return Expected(frozenset({"event-altered"}), one.partition, one.position)


def swap_what_two_events_say(connection: Connection, chance: random.Random) -> Expected:
    one = _any_event(connection, chance)
    connection.execute(
        "UPDATE ccontrol.events e SET data = (SELECT data FROM ccontrol.events o WHERE o.data <> e.data "
        "ORDER BY o.event_id LIMIT 1) WHERE partition = %s AND position = %s",
        (one.partition, one.position),
    )
    return Expected(frozenset({"event-altered"}), one.partition, one.position)


def cut_the_tail(connection: Connection, chance: random.Random) -> Expected:
    event = _any_event(connection, chance)
    connection.execute(
        "DELETE FROM ccontrol.events WHERE partition = %s AND position >= %s",
        (event.partition, event.position),
    )
    return Expected(frozenset({"partition-head-wrong"}), event.partition)


def cut_the_tail_and_move_the_heads(connection: Connection, chance: random.Random) -> Expected:
    event = _any_event(connection, chance)
    cut_at(connection, event)
    return Expected(frozenset({"checkpoint-ahead", "head-differs"}), event.partition)


def cut_at(connection: Connection, event: Event) -> None:
    """Leave nothing inside the database that tells of what was there from this event on."""
    connection.execute(
        "DELETE FROM ccontrol.events WHERE partition = %s AND position >= %s",
        (event.partition, event.position),
    )
    connection.execute(
        "UPDATE ccontrol.partition_heads SET position = %s WHERE partition = %s",
        (event.position - 1, event.partition),
    )
    connection.execute("DELETE FROM ccontrol.chain_heads WHERE partition = %s", (event.partition,))
    connection.execute(
        "INSERT INTO ccontrol.chain_heads SELECT DISTINCT ON (company_id) partition, company_id, "
        "count(*) OVER (PARTITION BY company_id), hash FROM ccontrol.events WHERE partition = %s "
        "ORDER BY company_id, position DESC",
        (event.partition,),
    )


def cut_the_tail_and_what_was_signed(connection: Connection, chance: random.Random) -> Expected:
    """Only what is kept outside the database still tells."""
    event = _any_event(connection, chance)
    cut_at(connection, event)
    connection.execute("DELETE FROM ccontrol.checkpoints WHERE partition = %s", (event.partition,))
    return Expected(frozenset({"head-differs"}), event.partition)


def rewrite_a_chain(connection: Connection, chance: random.Random) -> Expected:
    """Every hash and the head fit again; what was signed does not."""
    event = _any_event(connection, chance)
    _edit(
        connection, chance, event, chance.choice(["data", "effective_date", "actor_id", "reason", "channel"])
    )
    rehash(connection, event.company_id, after=event.position - 1)
    return Expected(frozenset({"checkpoint-wrong"}), event.partition)


def rewrite_a_chain_and_unsign_it(connection: Connection, chance: random.Random) -> Expected:
    expected = rewrite_a_chain(connection, chance)
    connection.execute("DELETE FROM ccontrol.checkpoints")
    return Expected(frozenset({"head-differs"}), expected.partition)


def rewrite_a_chain_and_sign_it_anew(connection: Connection, chance: random.Random) -> Expected:
    """With a key of one's own, published in the place of the right one."""
    rewrite_a_chain(connection, chance)
    key = Ed25519PrivateKey.generate()
    public = public_bytes(key)
    connection.execute("DELETE FROM ccontrol.checkpoints")
    connection.execute("DELETE FROM ccontrol.sealing_keys")
    connection.execute("INSERT INTO ccontrol.sealing_keys VALUES (%s, %s)", (key_id_of(public), public))
    for partition, company_id, length, digest in connection.execute(
        "SELECT * FROM ccontrol.chain_heads"
    ).fetchall():
        connection.execute(
            "INSERT INTO ccontrol.checkpoints VALUES (%s, %s, %s, %s, now(), %s, %s)",
            (
                partition,
                company_id,
                length,
                digest,
                key_id_of(public),
                key.sign(statement(company_id, length, digest)),
            ),
        )
    return Expected(frozenset({"signature-wrong"}))


def edit_a_checkpoint(connection: Connection, chance: random.Random) -> Expected:
    change, kind = chance.choice(
        [
            ("hash = sha256(hash)", "checkpoint-wrong"),
            ("signature = signature || '\\x00'", "signature-wrong"),
            ("signature = set_byte(signature, 5, 1 + get_byte(signature, 5) % 200)", "signature-wrong"),
            ("length = length + 1000", "checkpoint-ahead"),
            ("key_id = 'nobody'", "signature-wrong"),
        ]
    )
    connection.execute(
        f"UPDATE ccontrol.checkpoints SET {change} WHERE (company_id, length) IN "
        "(SELECT company_id, length FROM ccontrol.checkpoints ORDER BY length, company_id LIMIT 1)"
    )
    return Expected(frozenset({kind}))


def edit_a_head(connection: Connection, chance: random.Random) -> Expected:
    statement_, kind = chance.choice(
        [
            ("UPDATE ccontrol.chain_heads SET hash = sha256(hash)", "chain-head-wrong"),
            ("UPDATE ccontrol.chain_heads SET length = length - 1", "chain-head-wrong"),
            ("DELETE FROM ccontrol.chain_heads", "chain-head-wrong"),
            ("UPDATE ccontrol.partition_heads SET position = position + 1", "partition-head-wrong"),
            ("UPDATE ccontrol.partition_heads SET position = position / 2", "partition-head-wrong"),
            ("DELETE FROM ccontrol.partition_heads", "partition-head-wrong"),
        ]
    )
    connection.execute(f"{statement_} WHERE partition = %s", (chance.choice([2, 5]),))
    return Expected(frozenset({kind}))


def _delete(connection: Connection, event: Event) -> None:
    connection.execute(
        "DELETE FROM ccontrol.events WHERE partition = %s AND position = %s",
        (event.partition, event.position),
    )


TAMPERS: tuple[Tamper, ...] = (
    edit_a_column,
    edit_and_rehash_one,
    delete_an_event,
    delete_and_close_the_gap,
    insert_an_event,
    swap_two_events,
    swap_what_two_events_say,
    cut_the_tail,
    cut_the_tail_and_move_the_heads,
    cut_the_tail_and_what_was_signed,
    rewrite_a_chain,
    rewrite_a_chain_and_unsign_it,
    rewrite_a_chain_and_sign_it_anew,
    edit_a_checkpoint,
    edit_a_head,
)
