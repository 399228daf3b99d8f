"""Checks a block of events at once, column by column, and only says whether all of it holds.

Nothing here names what is wrong: a block that does not hold is walked again, row by row, by somebody who
does. So what is done for each event is only what cannot be done for all of them together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import repeat
from operator import methodcaller
from typing import Literal
from uuid import UUID

import msgspec

from write_model.ledger.events import JournalEntryPosted
from write_model.message import EVENTS
from write_model.store.canonical import GENESIS
from write_model.store.chain_blocks import Block
from write_model.store.chain_course import Course

_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - PostgreSQL's, in UTC like every moment of the store
_REMEMBERED_MAX = 20_000
_DIGEST = methodcaller("digest")


class _Forms(dict[int, bytes]):
    """Numbers as they stand in the canonical form, made once and looked up ever after."""

    def __init__(self, form: Callable[[int], bytes]) -> None:
        super().__init__()
        self._form = form

    def __missing__(self, number: int) -> bytes:
        if len(self) > _REMEMBERED_MAX:
            self.clear()
        made = self[number] = self._form(number)
        return made


class _Amount(msgspec.Struct, gc=False):
    currency: str
    minor: int


class _Line(msgspec.Struct, gc=False):
    side: Literal["D", "C"]
    amount: _Amount


class _Entry(msgspec.Struct, gc=False):
    lines: list[_Line]


class Swift:
    """One for a whole verification: it remembers forms."""

    def __init__(self) -> None:
        known = [
            (topic.encode(), b"%d" % version)
            for topic, kind in EVENTS.items()
            for version in range(1, kind.schema_version + 1)
        ]
        self._topics = {
            b"%b %b" % (topic, version): b"%d:%b,%d:%b,36:" % (len(topic), topic, len(version), version)
            for topic, version in known
        }
        entry = JournalEntryPosted.topic.encode()
        self._entries = {b"%b %b" % (topic, version) for topic, version in known if topic == entry}
        self._entry = msgspec.json.Decoder(_Entry)
        self._lengths = _Forms(lambda length: b"%d:" % length)
        self._versions = _Forms(lambda version: b",%d:%d," % (len(str(version)), version))
        self._moments = _Forms(_moment)
        self._starts: dict[tuple[int, bytes], bytes] = {}

    def advance(self, block: Block, course: Course) -> bool:
        """Whether the block holds and follows on from where the course is; if so, the course moves on."""
        first = course.last + 1
        count = len(block.positions)
        if course.dense and block.positions != tuple(range(first, first + count)):
            return False
        if not (self._hashed(block, course.partition) and self._balanced(block)):
            return False
        if not (_linked(block, course) and _versions_follow(block, course)):
            return False
        _move(block, course)
        return True

    def _hashed(self, block: Block, partition: int) -> bool:
        """Whether each event's bytes, after the hash it names as the one before, have the hash it has."""
        number = b"%d" % partition
        if block.company is None:
            forms = [
                self._start(number, position, company) % position
                for position, company in zip(block.positions, block.companies, strict=True)
            ]
        elif len(str(block.positions[0])) == len(str(block.positions[-1])):
            form = self._start(number, block.positions[0], block.company)
            forms = [form % position for position in block.positions]
        else:
            forms = [self._start(number, position, block.company) % position for position in block.positions]
        columns: tuple[Iterable[bytes], ...] = (
            repeat(b"\x00"),
            block.previous,
            forms,
            block.streams,
            map(self._versions.__getitem__, block.versions),
            map(self._topics.__getitem__, block.topics),
            block.dated,
            map(self._moments.__getitem__, block.moments),
            block.commands,
            block.data,
        )
        try:
            # All of it in C: no name is looked up and no tuple made anew for an event.
            digests = tuple(map(_DIGEST, map(sha256, map(b"".join, zip(*columns, strict=False)))))
        except (KeyError, OverflowError):
            # A topic this program does not know, or a moment outside the calendar.
            return False
        return digests == block.hashes

    def _start(self, partition: bytes, position: int, company: bytes) -> bytes:
        """The canonical form up to the stream, with the position still to be put in."""
        digits = len(str(position))
        made = self._starts.get((digits, company))
        if made is None:
            if len(self._starts) > _REMEMBERED_MAX:
                self._starts.clear()
            made = b"%d:%b,%d:%%d,36:%b,36:" % (len(partition), partition, digits, company)
            self._starts[digits, company] = made
        return made

    def _balanced(self, block: Block) -> bool:
        entries = self._entries
        decode = self._entry.decode
        for topic, data in zip(block.topics, block.data, strict=True):
            if topic in entries:
                try:
                    lines = decode(data[:-1]).lines
                except msgspec.MsgspecError:
                    return False
                balance, currency = 0, lines[0].amount.currency if lines else ""
                for line in lines:
                    amount = line.amount
                    balance += amount.minor if line.side == "D" else -amount.minor
                    if amount.currency != currency:
                        return False
                if balance:
                    return False
        return True


def _linked(block: Block, course: Course) -> bool:
    heads = course.heads
    if block.company is not None:
        return block.previous == (heads.get(block.company, GENESIS), *block.hashes[:-1])
    met: dict[bytes, bytes] = {}
    for company, previous, digest in zip(block.companies, block.previous, block.hashes, strict=True):
        head = met.get(company)
        if (heads.get(company, GENESIS) if head is None else head) != previous:
            return False
        met[company] = digest
    return True


def _versions_follow(block: Block, course: Course) -> bool:
    versions = course.versions
    last_of = versions.get
    for done, (stream, version) in enumerate(zip(block.streams, block.versions, strict=True)):
        if last_of(stream, 0) != version - 1:
            # As it was: each of those before had exactly one version less.
            for undone in range(done - 1, -1, -1):
                versions[block.streams[undone]] = block.versions[undone] - 1
            return False
        versions[stream] = version
    return True


def _move(block: Block, course: Course) -> None:
    course.last = block.positions[-1]
    if block.company is not None:
        _grow(block.company, block.hashes, course)
        return
    grown: dict[bytes, list[bytes]] = defaultdict(list)
    for company, digest in zip(block.companies, block.hashes, strict=True):
        grown[company].append(digest)
    for company, digests in grown.items():
        _grow(company, digests, course)


def _grow(company: bytes, digests: Sequence[bytes], course: Course) -> None:
    before = course.lengths.get(company, 0)
    after = course.lengths[company] = before + len(digests)
    course.heads[company] = digests[-1]
    wanted = course.wanted.get(company)
    while wanted and wanted[-1] <= after:
        length = wanted.pop()
        course.hashes_at[UUID(company.decode()), length] = digests[length - before - 1]


def _moment(microseconds: int) -> bytes:
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return b",27:%bZ," % moment.isoformat(timespec="microseconds").encode()
