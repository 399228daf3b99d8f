"""Group commit: what is decided at the same time is appended together, in one transaction per partition.

There is no artificial delay. A lone submission is sent at once; whatever arrives while a commit is in flight
becomes the next batch. So the partition's lock and the disk's flush are paid once per batch.

When many come again and again they travel in two halves: while the database works on one, this process hears
of the other's verdicts and decides what comes next. Otherwise each would wait for the other to be done.

A submission waits for the next batch when it expects a stream that the present batch already writes, or
brings a key the batch already has: within a batch all expectations are checked against one moment, and the
order of the batch is then an order in which its members could have run one after the other.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from write_model.store import connections
from write_model.store.append import (
    Appended,
    AppendRefused,
    CommandRecord,
    HistoryLost,
    KeysTaken,
    StoreBusy,
    StoreError,
    StoreUnavailable,
    Verdict,
    runs,
)
from write_model.store.arrays import OIDS, Texts, packed
from write_model.store.batch import APPEND_PACKED, Batch, Prepared
from write_model.store.connections import (
    Connection,
    Row,
    Statement,
    is_connection_loss,
    is_rolled_back,
    is_shortage,
)
from write_model.store.rows import COMMAND_COLUMNS, command_record_of

# Enough to share a flush among many, little enough that the lock is held for tens of milliseconds only.
_BATCH_EVENTS_MAX = 2_000
_BATCH_BYTES_MAX = 8 * 1024 * 1024
# So many make two halves. Of fewer, together they are sooner done: a commit costs more than what it holds.
_HALVES_FROM = 32
_WAITING_MAX = 5_000
_WAITING_BYTES_MAX = 64 * 1024 * 1024
# How long one call may take, how long a place in the queue is kept, and how long an outcome is sought before
# it is given up as unknown: less than a door lets its client wait.
_CALL_SECONDS_MAX = 10.0
_PATIENCE_SECONDS = 20.0
_RETRY_SECONDS_MAX = 1.0
# A supervisor that waits for us to end does not wait for a database that is away.
_CLOSING_SECONDS_MAX = 5.0

_TAKEN = Statement(
    b"taken",
    f"SELECT {COMMAND_COLUMNS} FROM ccontrol.command_records($1, $2, $3, $4)".encode(),  # noqa: S608 - constants
    (connections.INTEGER, connections.UUID, connections.UUID, OIDS[Texts]),
)

_KNOWN = Statement(
    b"known",
    b"SELECT 1 FROM ccontrol.command_record($1, $2, $3)",
    (connections.INTEGER, connections.UUID, connections.UUID),
)

Connect = Callable[[], Awaitable[Connection]]


@dataclass(slots=True, eq=False)
class _Waiting:
    prepared: Prepared
    verdict: "asyncio.Future[Verdict]"
    keys: list[bytes]
    """Company, actor and key of each command in one, because bytes remember their hash and ids do not."""
    events: int
    bytes: int
    deadline: float
    # Held back once because its key was in a batch. By now the key is recorded, or nobody recorded it.
    repeated: bool = field(default=False)


class Committer:
    """Appends to one partition. `lost` is called when the database turns out to have been restored."""

    def __init__(
        self,
        partition: int,
        connect: Connect,
        appended: Callable[[int], None],
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._partition = partition
        self._connect = connect
        self._appended = appended
        self._lost = lost
        # Company and id of the command that was recorded last: by it a database is known again.
        self._last: tuple[UUID, UUID] | None = None
        self._queue: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._reached: dict[UUID, int] = {}
        self._answered = 0  # how many were in the batch before, and may well come again
        self._work: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._closed = False

    async def submit(self, prepared: Prepared) -> Verdict:
        """Append with whatever else is waiting. Cancelling this call does not disturb the others."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._is_full():
            self._forget_who_left()
            if self._is_full():
                raise StoreBusy("too many submissions are waiting already")
        loop = asyncio.get_running_loop()
        company_id = prepared.submission.company_id.bytes
        waiting = _Waiting(
            prepared,
            loop.create_future(),
            [
                company_id
                + command.context.actor.id.bytes
                + command.context.idempotency_key.encode(errors="surrogatepass")
                for command in prepared.submission.commands
            ],
            len(prepared.texts),
            sum(map(len, prepared.texts)),
            loop.time() + _PATIENCE_SECONDS,
        )
        self._queue.append(waiting)
        self._waiting_bytes += waiting.bytes
        if self._work is None or self._work.done():
            # Everybody the last commit woke up gets to submit before this task first runs.
            self._work = asyncio.create_task(self._drain(), name=f"committer-{self._partition}")
        return await waiting.verdict

    async def close(self) -> None:
        """Let what is waiting finish, if the database lets it, then disconnect."""
        self._closed = True
        if self._work is not None:
            await asyncio.wait([self._work], timeout=_CLOSING_SECONDS_MAX)
            self._work.cancel()
            await asyncio.wait([self._work])
        _fail(self._queue, StoreUnavailable("the store is closed"))
        await self._disconnect()

    def _is_full(self) -> bool:
        return len(self._queue) >= _WAITING_MAX or self._waiting_bytes > _WAITING_BYTES_MAX

    def _forget_who_left(self) -> None:
        """While the database is away the queue fills with those whose clients have long given up."""
        staying = [waiting for waiting in self._queue if not waiting.verdict.done()]
        self._queue = deque(staying)
        self._waiting_bytes = sum(waiting.bytes for waiting in staying)

    async def _drain(self) -> None:
        self._answered = 0
        while self._queue:
            batch = self._gather()
            if not batch:
                continue
            self._answered = len(batch)
            try:
                await self._settle(batch)
            except BaseException as error:
                # A waiter must hear of it whatever it was; nobody else is there to.
                _fail(batch, error if isinstance(error, Exception) else StoreUnavailable("stopped"))
                if not isinstance(error, Exception):
                    raise

    def _gather(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        held_back: list[_Waiting] = []
        written: set[UUID] = set()
        keys: dict[bytes, bool] = {}
        events = size = 0
        now = asyncio.get_running_loop().time()
        share = self._share()
        while self._queue and share and events < _BATCH_EVENTS_MAX and size < _BATCH_BYTES_MAX:
            waiting = self._queue.popleft()
            self._waiting_bytes -= waiting.bytes
            if waiting.verdict.done():  # cancelled before it was sent
                continue
            if waiting.deadline < now:
                _fail([waiting], StoreBusy("its turn did not come in time"))
                continue
            repeats = [key for key in waiting.keys if key in keys]
            # Copies of one request that were held back go together: their key is settled one way or another.
            if repeats and not (waiting.repeated and all(keys[key] for key in repeats)):
                waiting.repeated = True
                held_back.append(waiting)
                continue
            # Some of these may go together whatever they write: they are refused, and need no turn each.
            if not self._is_too_late(waiting):
                if not written.isdisjoint(waiting.prepared.expectations):
                    held_back.append(waiting)
                    continue
                written |= waiting.prepared.written
                share -= 1
            batch.append(waiting)
            keys.update(dict.fromkeys(waiting.keys, waiting.repeated))
            events += waiting.events
            size += waiting.bytes
        self._queue.extendleft(reversed(held_back))
        self._waiting_bytes += sum(waiting.bytes for waiting in held_back)
        return batch

    def _share(self) -> int:
        """How many to take: half of those who wait or have just been answered, when they are many."""
        around = len(self._queue) + self._answered
        return around if around < _HALVES_FROM else (around + 1) // 2

    def _is_too_late(self, waiting: _Waiting) -> bool:
        """Whether the batch before has already moved a stream past what this one expects."""
        reached = self._reached
        return any(
            reached.get(stream, version) > version
            for stream, version in waiting.prepared.expectations.items()
        )

    async def _settle(self, batch: list[_Waiting]) -> None:
        """Give every member its verdict. Each round settles at least one, so the rounds end."""
        while batch:
            try:
                attempt = Batch(self._partition, [waiting.prepared for waiting in batch])
                row = (await self._persistently(APPEND_PACKED, attempt.values()))[0]
            except StoreError:
                raise
            except Exception as error:
                # Refused by the database, or already by what packs it: some texts no column can hold.
                if len(batch) == 1:
                    raise AppendRefused(str(error)) from error
                await self._settle_each(batch)
                return
            taken, conflicts = attempt.taken(row), attempt.conflicts(row)
            if not taken and not conflicts:
                self._appended(self._partition)
                self._reached = _versions_after(batch)
                submission = batch[-1].prepared.submission
                self._last = (submission.company_id, submission.commands[-1].context.command_id)
                for waiting, verdict in zip(batch, attempt.appended(row), strict=True):
                    _answer(waiting, verdict)
                return
            for index in taken:
                _answer(batch[index], await self._verdict_on_taken(batch[index].prepared))
            for index in conflicts.keys() - taken:
                _answer(batch[index], conflicts[index])
            settled = taken | conflicts.keys()
            batch = [waiting for index, waiting in enumerate(batch) if index not in settled]

    async def _settle_each(self, batch: list[_Waiting]) -> None:
        """One of them is malformed, or two have one key: by themselves each gets its own verdict."""
        for waiting in batch:
            if waiting.verdict.done():  # left meanwhile, and nothing of it is recorded
                continue
            try:
                await self._settle([waiting])
            except AppendRefused as error:
                _fail([waiting], error)

    async def _verdict_on_taken(self, prepared: Prepared) -> Verdict:
        commands = prepared.submission.commands
        found: dict[str, CommandRecord] = {}
        for actor_id in {command.context.actor.id for command in commands}:
            keys = Texts(c.context.idempotency_key for c in commands if c.context.actor.id == actor_id)
            company_id = prepared.submission.company_id
            values = [self._partition.to_bytes(4), company_id.bytes, actor_id.bytes, packed(keys)]
            for row in await self._persistently(_TAKEN, values):
                record = command_record_of(row)
                found[record.idempotency_key] = record
        own = [found.get(command.context.idempotency_key) for command in commands]
        # Recorded under our own command ids: an earlier attempt of ours was committed, and the
        # connection broke before we heard of it.
        records = tuple(record for record in own if record is not None)
        if [record.command_id for record in records] == [c.context.command_id for c in commands]:
            return Appended(records)
        return KeysTaken(found)

    async def _rows(self, statement: Statement, values: list[bytes]) -> list[Row]:
        if self._connection is None or self._connection.closed:
            connection = await self._connect()
            try:
                await self._check(connection)
            except BaseException:
                await connection.close()
                raise
            self._connection = connection
        return await self._connection.ask(statement, values)

    async def _check(self, connection: Connection) -> None:
        """Whether it is still the same history: no database is restored under a connection that lasts."""
        if self._last is None:
            return
        company_id, command_id = self._last
        values = [self._partition.to_bytes(4), company_id.bytes, command_id.bytes]
        if not await connection.ask(_KNOWN, values):
            self._last, self._reached = None, {}
            self._lost()
            raise HistoryLost("the database was restored: what this process recorded last is not in it")

    async def _persistently(self, statement: Statement, values: list[bytes]) -> list[Row]:
        """Ask until there is an answer. Asking again is safe: the keys tell what is recorded already."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE_SECONDS
        delay, is_unknown = 0.05, False
        while True:
            try:
                async with asyncio.timeout_at(min(deadline, loop.time() + _CALL_SECONDS_MAX)):
                    return await self._rows(statement, values)
            except (psycopg.Error, OSError) as error:
                if is_connection_loss(error):
                    is_unknown = True
                    await self._disconnect()
                elif is_shortage(error) and not is_unknown:
                    raise StoreBusy("the database cannot write at this moment") from error
                elif not is_rolled_back(error) and not is_shortage(error):
                    raise
                if loop.time() + delay > deadline:
                    raise StoreUnavailable("the database cannot be reached") from error
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RETRY_SECONDS_MAX)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()


def _versions_after(batch: list[_Waiting]) -> dict[UUID, int]:
    """How far a batch that was appended has brought the streams it wrote."""
    return {
        events[-1].stream_id: events[-1].version
        for waiting in batch
        for command in waiting.prepared.submission.commands
        for events in runs(command.events)
    }


def _fail(waiting: Iterable[_Waiting], error: Exception) -> None:
    for each in waiting:
        if not each.verdict.done():
            each.verdict.set_exception(error)


def _answer(waiting: _Waiting, verdict: Verdict) -> None:
    if not waiting.verdict.done():  # it may have been cancelled meanwhile
        waiting.verdict.set_result(verdict)
