"""One pass over the events of a partition, in order, recomputing everything that can be recomputed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from psycopg import Connection, Copy, sql

from write_model.message import EVENTS
from write_model.store.canonical import COLUMNS, GENESIS, canonical_row, chain_hash
from write_model.store.partitions import partition_of

_PROGRESS_EVERY = 10_000
_ENTRY_TOPIC = b"ledger.journal_entry_posted"
_DATA = COLUMNS.index("data")
_COMPANY, _RECORDED, _REASON = map(COLUMNS.index, ("company_id", "recorded_at", "reason"))
_NULLABLE_IDS = tuple(map(COLUMNS.index, ("on_behalf_of", "causation_id")))
_PREVIOUS, _HASH = len(COLUMNS), len(COLUMNS) + 1
_ESCAPE = re.compile(rb"\\([bfnrtv\\])")
_UNESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\\": b"\\"}

Row = list[Any]
"""The columns of an event and its two hashes, as bytes of text; None where the column is null."""


class _Link(NamedTuple):
    """The last event of a chain: how many there are up to it, its hash as text and as bytes."""

    length: int
    hex: bytes
    digest: bytes


_START = _Link(0, GENESIS.hex().encode(), GENESIS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something that does not hold, and where."""

    kind: str
    meaning: str
    partition: int
    position: int | None = None
    company_id: UUID | None = None
    stream_id: UUID | None = None
    expected: str = ""
    found: str = ""


class Walk:
    """Accumulates over the partitions; `violations` and `heads` are the outcome."""

    def __init__(
        self, connection: Connection[Any], company: UUID | None, signed: Mapping[UUID, set[int]]
    ) -> None:
        self.events = 0
        self.heads: dict[UUID, tuple[int, bytes]] = {}
        self.last_positions: dict[int, int] = {}
        self.hashes_at: dict[tuple[UUID, int], bytes] = {}
        """The hash of each company's chain at every length that was signed."""
        self.violations: list[Violation] = []
        self._connection = connection
        self._company = company
        self._signed = {str(company_id).encode(): lengths for company_id, lengths in signed.items()}
        self._known = {topic.encode(): kind.schema_version for topic, kind in EVENTS.items()}

    def partition(self, partition: int, partitions: int) -> Iterator[None]:
        """Check one partition; yields now and then, so that the caller can show how far it is."""
        chains: dict[bytes, _Link] = {}
        versions: dict[bytes, int] = {}
        seen: set[bytes] = set()
        last = 0
        for row in self._rows(partition):
            position = int(row[1])
            if self._company is None and position != last + 1:
                self._report(
                    "position-gap", "an event is missing here", row, expected=last + 1, found=position
                )
            last = position
            self._check_chain(row, chains)
            self._check_stream(row, versions, seen)
            self._check_content(row)
            self.events += 1
            if not self.events % _PROGRESS_EVERY:
                yield
        self.last_positions[partition] = last
        for company, link in chains.items():
            company_id = UUID(company.decode())
            self.heads[company_id] = (link.length, link.digest)
            if partition_of(company_id, partitions) != partition:
                self.violations.append(
                    Violation(
                        kind="partition-wrong",
                        meaning="the events of this company belong to another partition",
                        partition=partition,
                        company_id=company_id,
                        expected=str(partition_of(company_id, partitions)),
                        found=str(partition),
                    )
                )
        yield

    def _rows(self, partition: int) -> Iterator[Row]:
        """Every event as the text of its columns: COPY is the fastest way out, and text is what is hashed."""
        columns = [
            # Any text may stand in a reason, so a null is told from it by a first character of ours.
            sql.SQL("CASE WHEN reason IS NULL THEN '-' ELSE '+' || reason END")
            if name == "reason"
            else sql.Identifier(name)
            for name in COLUMNS
        ]
        query = sql.SQL(
            "COPY (SELECT {}, encode(prev_hash, 'hex'), encode(hash, 'hex') FROM ccontrol.events "
            "WHERE partition = {} ORDER BY position) TO STDOUT (NULL '-')"
        ).format(sql.SQL(", ").join(columns), sql.Literal(partition))
        # All events of one append have the same moment, so the last one translated is nearly always it.
        moment, translated = b"", b""
        with self._connection.cursor().copy(query) as copy:
            for line in _lines(copy):
                row: Row = line.split(b"\t")
                if b"\\" in line:
                    row = [_unescaped(text) for text in row]
                if row[_RECORDED] != moment:
                    moment = row[_RECORDED]
                    translated = _iso(moment)
                row[_RECORDED] = translated
                for index in _NULLABLE_IDS:
                    if row[index] == b"-":
                        row[index] = None
                reason = row[_REASON]
                row[_REASON] = None if reason == b"-" else reason[1:]
                yield row

    def _check_chain(self, row: Row, chains: dict[bytes, _Link]) -> None:
        company = row[_COMPANY]
        link = chains.get(company, _START)
        stored_previous, stored = row[_PREVIOUS], row[_HASH]
        previous = link.digest
        if stored_previous != link.hex:
            self._report(
                "link-broken",
                "this event does not follow on from the one before it",
                row,
                expected=link.hex.decode(),
                found=stored_previous.decode(),
            )
            # From here as if the previous hash were right: one gap is one violation, not all after it.
            previous = bytes.fromhex(stored_previous.decode())
        digest = chain_hash(previous, canonical_row(row[:_PREVIOUS]))
        if digest.hex().encode() != stored:
            self._report(
                "event-altered",
                "this event is not what was recorded",
                row,
                expected=stored.decode(),
                found=digest.hex(),
            )
            digest = bytes.fromhex(stored.decode())
        length = link.length + 1
        chains[company] = _Link(length, stored, digest)
        lengths = self._signed.get(company)
        if lengths is not None and length in lengths:
            self.hashes_at[UUID(company.decode()), length] = digest

    def _check_stream(self, row: Row, versions: dict[bytes, int], seen: set[bytes]) -> None:
        stream, version, event_id = row[3], int(row[4]), row[7]
        before = versions.get(stream, 0)
        if version != before + 1:
            self._report(
                "version-gap",
                "the versions of this stream do not follow on",
                row,
                expected=before + 1,
                found=version,
            )
        versions[stream] = version
        if event_id in seen:
            self._report("event-repeated", "this event id occurs twice", row, found=event_id.decode())
        seen.add(event_id)

    def _check_content(self, row: Row) -> None:
        topic, schema_version = row[5], int(row[6])
        if not 1 <= schema_version <= self._known.get(topic, 0):
            self._report(
                "topic-unknown",
                "this program does not know this event",
                row,
                found=f"{topic.decode()} version {schema_version}",
            )
        elif topic == _ENTRY_TOPIC:
            balance = _balance(row[_DATA])
            if balance is None or any(balance.values()):
                self._report(
                    "entry-unbalanced",
                    "the debits and credits of this entry differ",
                    row,
                    expected="0",
                    found="unreadable" if balance is None else str(balance),
                )

    def _report(
        self, kind: str, meaning: str, row: Row, *, expected: object = "", found: object = ""
    ) -> None:
        self.violations.append(
            Violation(
                kind=kind,
                meaning=meaning,
                partition=int(row[0]),
                position=int(row[1]),
                company_id=UUID((row[2]).decode()),
                stream_id=UUID((row[3]).decode()),
                expected=str(expected),
                found=str(found),
            )
        )


def _balance(data: bytes) -> dict[str, int] | None:
    """Debits less credits of a journal entry, by currency; None when it cannot be read as one."""
    balance: dict[str, int] = {}
    try:
        for line in msgspec.json.decode(data)["lines"]:
            amount = line["amount"]
            sign = {"D": 1, "C": -1}[line["side"]]
            balance[amount["currency"]] = balance.get(amount["currency"], 0) + sign * amount["minor"]
    except (ValueError, KeyError, TypeError):
        return None
    return balance


def _lines(copy: Copy) -> Iterator[bytes]:
    """Whole lines. The server sends one per message, but nobody promises that."""
    rest = b""
    for block in copy:
        text = rest + bytes(block)
        *lines, rest = text.split(b"\n")
        yield from lines


def _iso(moment: bytes) -> bytes:
    """`2026-11-23 10:00:00.5+00`, as COPY writes it in UTC, as it is hashed."""
    day, _, time = moment.removesuffix(b"+00").partition(b" ")
    seconds, _, fraction = time.partition(b".")
    return day + b"T" + seconds + b"." + fraction.ljust(6, b"0") + b"Z"


def _unescaped(field: bytes) -> bytes:
    """Undo what COPY does to backslashes and control characters."""
    return _ESCAPE.sub(lambda found: _UNESCAPED[found[1]], field)
