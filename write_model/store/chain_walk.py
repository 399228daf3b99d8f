"""One pass over the events, partition by partition, recomputing everything that can be recomputed.

Swiftly, block by block, as long as all is well; a block that does not hold is walked again with care, row by
row, so that what is wrong with it has a name and a place.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, DatabaseError, OperationalError, sql

from write_model.message import EVENTS
from write_model.store.canonical import COLUMNS, GENESIS, canonical_row, chain_hash
from write_model.store.chain_blocks import blocks
from write_model.store.chain_course import Course, EventIds
from write_model.store.chain_rows import Row, rows
from write_model.store.chain_start import Start
from write_model.store.chain_swift import Swift
from write_model.store.partitions import partition_of

_ENTRY_TOPIC = b"ledger.journal_entry_posted"
_DATA = COLUMNS.index("data")
_COMPANY = COLUMNS.index("company_id")
_PREVIOUS, _HASH = len(COLUMNS), len(COLUMNS) + 1
_PROGRESS_EVERY = 10_000


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
    """Accumulates over the partitions; `violations` and `heads` are the outcome.

    Two connections that see the same snapshot: a block may have to be read again while the next ones come.
    """

    def __init__(
        self,
        swiftly: Connection[Any],
        carefully: Connection[Any],
        company: UUID | None,
        wanted: Mapping[UUID, Collection[int]],
    ) -> None:
        self.events = 0
        self.skipped = 0
        """Events that were believed rather than read."""
        self.believed: dict[UUID, int] = {}
        """How many of each company they were."""
        self.heads: dict[UUID, tuple[int, bytes]] = {}
        self.last_positions: dict[int, int] = {}
        self.hashes_at: dict[tuple[UUID, int], bytes] = {}
        """The hash of each company's chain at every length that was wanted."""
        self.violations: list[Violation] = []
        self._swiftly = swiftly
        self._carefully = carefully
        self._company = company
        self._wanted = {
            str(company_id).encode(): sorted(filter(lambda length: length > 0, lengths), reverse=True)
            for company_id, lengths in wanted.items()
        }
        self._known = {topic.encode(): kind.schema_version for topic, kind in EVENTS.items()}
        self._swift = Swift()
        self._ids = EventIds()

    def partition(self, partition: int, head: int, partitions: int, start: Start) -> Iterator[None]:
        """Check one partition, which should end at `head`; yields now and then, to show how far it is."""
        course = Course(
            partition,
            dense=self._company is None,
            last=start.after,
            lengths=start.lengths,
            heads=start.heads,
            versions=start.versions,
            wanted=self._wanted_after(start),
        )
        self.skipped += sum(start.lengths.values())
        self.believed.update({UUID(company.decode()): length for company, length in start.lengths.items()})
        after = start.after
        if not after:
            yield from self._walk_with_care(course, sql.SQL("position < 1"))
        yield from self._walk_blocks(course, after, head)
        yield from self._walk_with_care(course, sql.SQL("position > {}").format(max(course.last, head, 0)))
        self._arrived(course, partitions)
        yield

    def find_repeated_ids(self) -> None:
        """To be called at the end: an event may be repeated in another partition."""
        for partition, position, company_id, stream_id, event_id in self._ids.repeated(self._carefully):
            self.violations.append(
                Violation(
                    kind="event-repeated",
                    meaning="this event id occurs twice",
                    partition=partition,
                    position=position,
                    company_id=company_id,
                    stream_id=stream_id,
                    found=str(event_id),
                )
            )

    def _wanted_after(self, start: Start) -> dict[bytes, list[int]]:
        """What was believed is not asked for."""
        return {
            company: [length for length in lengths if length > start.lengths.get(company, 0)]
            for company, lengths in self._wanted.items()
        }

    def _walk_blocks(self, course: Course, after: int, head: int) -> Iterator[None]:
        reached = after
        try:
            # What fails below must not take the snapshot of the whole verification along.
            with self._swiftly.transaction():
                for first, last, block in blocks(self._swiftly, course.partition, after, head, self._company):
                    if block is not None and self._swift.advance(block, course):
                        self._ids.add(block.event_ids)
                        self.events += len(block.positions)
                    else:
                        within = sql.SQL("position BETWEEN {} AND {}").format(first, last)
                        yield from self._walk_with_care(course, within)
                    reached = last
                    yield
        except OperationalError:
            raise
        except DatabaseError:
            # A block that cannot be made, as of texts too long for one message: the rest row by row.
            rest = sql.SQL("position BETWEEN {} AND {}").format(reached + 1, head)
            yield from self._walk_with_care(course, rest)

    def _walk_with_care(self, course: Course, condition: sql.Composable) -> Iterator[None]:
        for row in rows(self._carefully, course.partition, condition, self._company):
            position = int(row[1])
            if course.dense and position != course.last + 1:
                self._report(
                    "position-gap", "an event is missing here", row, expected=course.last + 1, found=position
                )
            course.last = position
            self._check_chain(row, course)
            self._check_stream(row, course)
            self._check_content(row)
            self._ids.add(UUID(row[7].decode()).bytes)
            self.events += 1
            if not self.events % _PROGRESS_EVERY:
                yield

    def _arrived(self, course: Course, partitions: int) -> None:
        self.last_positions[course.partition] = course.last
        self.hashes_at.update(course.hashes_at)
        for company, head in course.heads.items():
            company_id = UUID(company.decode())
            self.heads[company_id] = (course.lengths[company], head)
            if partition_of(company_id, partitions) != course.partition:
                self.violations.append(
                    Violation(
                        kind="partition-wrong",
                        meaning="the events of this company belong to another partition",
                        partition=course.partition,
                        company_id=company_id,
                        expected=str(partition_of(company_id, partitions)),
                        found=str(course.partition),
                    )
                )

    def _check_chain(self, row: Row, course: Course) -> None:
        company = row[_COMPANY]
        head = course.heads.get(company, GENESIS)
        previous, stored = (_bytes(row[index]) for index in (_PREVIOUS, _HASH))
        if previous != head:
            self._report(
                "link-broken",
                "this event does not follow on from the one before it",
                row,
                expected=head.hex(),
                found=previous.hex(),
            )
        # As if the previous hash were right: one gap is one violation, not all after it.
        digest = chain_hash(previous, canonical_row(row[:_PREVIOUS]))
        if digest != stored:
            self._report(
                "event-altered",
                "this event is not what was recorded",
                row,
                expected=stored.hex(),
                found=digest.hex(),
            )
        course.heads[company] = stored
        length = course.lengths[company] = course.lengths.get(company, 0) + 1
        wanted = course.wanted.get(company)
        if wanted and wanted[-1] == length:
            course.hashes_at[UUID(company.decode()), wanted.pop()] = stored

    def _check_stream(self, row: Row, course: Course) -> None:
        stream, version = row[3], int(row[4])
        before = course.versions.get(stream, 0)
        if version != before + 1:
            self._report(
                "version-gap",
                "the versions of this stream do not follow on",
                row,
                expected=before + 1,
                found=version,
            )
        course.versions[stream] = version

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


def _bytes(text: bytes) -> bytes:
    return bytes.fromhex(text.decode())


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
