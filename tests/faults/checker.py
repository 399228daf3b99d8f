"""Does history hold? An auditor of its own: plain SQL, its own hashing, nothing imported from the program.

    python -m tests.faults.checker DATABASE_URL [JOURNAL]

Prints for each invariant PASS or the offending rows. JOURNAL is what clients remember, an object a line,
{"company", "key", "outcome": accepted|refused|unknown, "status", "answer"}; ids as clients see them.

    I1   every acknowledged command's events are there exactly once
    I2   no ghosts: a refused command has no events, an unknown one none or all, and nobody else has any
    I3   versions of a stream and positions of a partition have no gap
    I6   debits equal credits in every entry, currency and company
    I8   each company's chain verifies, ends at its head, and still contains every head seen before
    I13  at rest: nobody is idle in a transaction, nobody waits for a lock
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg

# As the program documents it: each column as its length, a colon, itself and a comma; a null as `-,`.
_HASHED = (
    "partition::text, position::text, company_id::text, stream_id::text, version::text, topic,"
    " schema_version::text, event_id::text, to_char(effective_date, 'YYYY-MM-DD'),"
    " to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), actor_kind,"
    " actor_id::text, on_behalf_of::text, command_id::text, correlation_id::text, causation_id::text,"
    " channel, reason, data"
)
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SHOWN_MAX = 20

Rows = list[tuple[Any, ...]]


@dataclass
class Remembered:
    """What is known from outside: what clients were answered, and the heads that were seen before."""

    journal: Sequence[Mapping[str, Any]] = ()
    heads: list[tuple[str, int, str]] = field(default_factory=list)
    """Company, length, hash in hex."""


def check(url: str, remembered: Remembered) -> dict[str, list[str]]:
    """What does not hold, by invariant; the heads found are remembered for the next time."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = {
            "I1": list(_acknowledged(connection, remembered.journal)),
            "I2": list(_ghosts(connection, remembered.journal)),
            "I3": list(_gaps(connection)),
            "I6": list(_unbalanced(connection)),
            "I8": list(_chain(connection, remembered)),
        }
    return {**found, "I13": list(_unrest(url))}


def report(found: Mapping[str, list[str]]) -> str:
    """PASS or the offending rows, a line each."""
    lines = []
    for invariant, rows in found.items():
        lines.append(f"{invariant} {'PASS' if not rows else f'FAIL {len(rows)}'}")
        lines += [f"    {row}" for row in rows[:_SHOWN_MAX]]
    return "\n".join(lines)


def uuid_of(text: str) -> str:
    """The UUID behind an id as clients see it: 26 digits of base 32, without I, L, O, U."""
    number = 0
    for digit in text.rpartition("_")[2]:
        number = number * 32 + _DIGITS.index(digit)
    plain = f"{number:032x}"
    return "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))


def _rows(connection: psycopg.Connection[Any], query: str) -> Rows:
    return connection.execute(query.encode()).fetchall()


def _acknowledged(connection: psycopg.Connection[Any], journal: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    recorded = Counter(
        _rows(
            connection,
            "SELECT company_id::text, command_id::text, event_id::text, position FROM ccontrol.events",
        )
    )
    commands: dict[tuple[str, str], list[str]] = defaultdict(list)
    events: Counter[str] = Counter()
    for company, command, _, _ in recorded.elements():
        events[f"{company} {command}"] += 1
    for company, key, command in _rows(
        connection, "SELECT company_id::text, idempotency_key, command_id::text FROM ccontrol.commands"
    ):
        commands[company, key].append(command)
    for entry in journal:
        if entry["outcome"] != "accepted":
            continue
        company, answer = uuid_of(entry["company"]), entry["answer"]
        command = uuid_of(answer["command_id"])
        if commands[company, entry["key"]] != [command]:
            yield f"key {entry['key']}: answered {command}, recorded {commands[company, entry['key']]}"
        for event in answer["events"]:
            times = recorded[company, command, uuid_of(event["id"]), event["position"]]
            if times != 1:
                yield f"event {event['id']} at {event['position']} of key {entry['key']}: there {times} times"
        if events[f"{company} {command}"] != len(answer["events"]):
            yield (
                f"command {command} of key {entry['key']}: answered {len(answer['events'])} events, "
                f"recorded {events[f'{company} {command}']}"
            )


def _ghosts(connection: psycopg.Connection[Any], journal: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Commands set up before the clients began have other actors, and are only checked for completeness."""
    known = {(uuid_of(entry["company"]), entry["key"]): entry["outcome"] for entry in journal}
    commands = _rows(
        connection,
        "SELECT company_id::text, idempotency_key, command_id::text, actor_kind, first_position,"
        " last_position FROM ccontrol.commands",
    )
    positions: dict[tuple[str, str], list[int]] = defaultdict(list)
    for company, command, position in _rows(
        connection,
        "SELECT company_id::text, command_id::text, position FROM ccontrol.events ORDER BY position",
    ):
        positions[company, command].append(position)
    for company, key, command, actor_kind, first, last in commands:
        found = positions.pop((company, command), [])
        wanted = [] if first is None else list(range(first, last + 1))
        if found != wanted:
            yield f"command {command}: recorded as {first}..{last}, its events are at {found}"
        outcome = known.get((company, key))
        if outcome == "refused":
            yield f"command {command} of key {key} was refused, and is recorded"
        if outcome is None and known and actor_kind == "user":
            yield f"command {command} of key {key} was asked for by nobody"
    for (company, command), found in positions.items():
        yield f"events at {found} of company {company} have no command {command}"


def _gaps(connection: psycopg.Connection[Any]) -> Iterator[str]:
    for stream, first, last, count in _rows(
        connection,
        "SELECT stream_id::text, min(version), max(version), count(*) FROM ccontrol.events"
        " GROUP BY partition, stream_id HAVING min(version) <> 1 OR max(version) <> count(*)"
        " OR count(DISTINCT version) <> count(*)",
    ):
        yield f"stream {stream}: versions {first}..{last}, {count} of them"
    for partition, head, first, last, count in _rows(
        connection,
        "SELECT h.partition, h.position, min(e.position), max(e.position), count(e.position)"
        " FROM ccontrol.partition_heads h LEFT JOIN ccontrol.events e USING (partition)"
        " GROUP BY h.partition, h.position HAVING count(e.position) <> h.position"
        " OR coalesce(max(e.position), 0) <> h.position OR coalesce(min(e.position), 1) <> 1",
    ):
        yield f"partition {partition}: head {head}, positions {first}..{last}, {count} of them"
    for stream, version, position in _rows(
        connection,
        "SELECT stream_id::text, version, position FROM (SELECT stream_id, version, position,"
        " lag(version) OVER (PARTITION BY partition, stream_id ORDER BY position) AS before"
        " FROM ccontrol.events) o WHERE version <= before",
    ):
        yield f"stream {stream}: version {version} at {position} comes after a later one"


def _unbalanced(connection: psycopg.Connection[Any]) -> Iterator[str]:
    for company, position, currency, excess in _rows(
        connection,
        "SELECT company_id::text, position, line #>> '{amount,currency}' AS currency,"
        " sum(CASE line ->> 'side' WHEN 'D' THEN 1 ELSE -1 END * (line #>> '{amount,minor}')::numeric)"
        " FROM ccontrol.events CROSS JOIN LATERAL json_array_elements(data::json -> 'lines') AS line"
        " WHERE topic = 'ledger.journal_entry_posted' GROUP BY 1, partition, 2, 3"
        " HAVING sum(CASE line ->> 'side' WHEN 'D' THEN 1 ELSE -1 END"
        " * (line #>> '{amount,minor}')::numeric) <> 0 ORDER BY 1, 2",
    ):
        yield f"entry at {position} of company {company}: debits exceed credits by {excess} {currency}"


def _chain(connection: psycopg.Connection[Any], remembered: Remembered) -> Iterator[str]:
    links: dict[str, list[str]] = defaultdict(list)
    # By the column: the bare name would be the text that stands in the list.
    order = "ORDER BY e.partition, e.position"
    for row in _rows(connection, f"SELECT {_HASHED}, prev_hash, hash FROM ccontrol.events e {order}"):  # noqa: S608
        *columns, previous, stored = row
        company, position = columns[2], columns[1]
        before = links[company][-1] if links[company] else bytes(32).hex()
        if previous.hex() != before:
            yield f"event at {position} of company {company} does not follow on from the one before it"
        digest = sha256(b"\0" + previous + b"".join(map(_netstring, columns))).digest()
        if digest != stored:
            yield f"event at {position} of company {company} is not what was hashed"
        links[company].append(stored.hex())
    for company, length, head in _rows(
        connection, "SELECT company_id::text, length, encode(hash, 'hex') FROM ccontrol.chain_heads"
    ):
        if len(links[company]) != length or links[company][-1:] != [head]:
            yield f"company {company}: its head says {length} events, its chain has {len(links[company])}"
    for company, length, head in remembered.heads:
        if links[company][length - 1 : length] != [head]:
            yield f"company {company}: the head seen at length {length} is no longer in its chain"
    remembered.heads += [(company, len(chain), chain[-1]) for company, chain in links.items() if chain]


def _netstring(text: str | None) -> bytes:
    if text is None:
        return b"-,"
    plain = text.encode()
    return str(len(plain)).encode() + b":" + plain + b","


def _unrest(url: str) -> Iterator[str]:
    with psycopg.connect(url) as connection:
        for pid, name, state, query in _rows(
            connection,
            "SELECT pid, application_name, state, left(query, 80) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '1 s'",
        ):
            yield f"session {pid} of {name} is {state} since {query}"
        for pid, kind in _rows(connection, "SELECT pid, locktype FROM pg_locks WHERE NOT granted"):
            yield f"session {pid} waits for a lock of kind {kind}"


def main(arguments: list[str]) -> int:
    """Check what is named on the command line; 1 when something does not hold."""
    journal = [json.loads(line) for name in arguments[1:] for line in Path(name).read_text().splitlines()]
    found = check(arguments[0], Remembered(journal))
    sys.stdout.write(report(found) + "\n")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
