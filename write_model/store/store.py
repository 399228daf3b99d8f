"""The store as the write model uses it: append, load streams, look up what a command was answered.

One object per process. It acts as the role `ccontrol_app`, which sees one company at a time and can add
events only through the append function.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from uuid import UUID

from write_model.message import Context, Event, Recorded, State
from write_model.store import append, connections, epoch, personal_data, snapshots, topics
from write_model.store.append import CommandRecord, StoreError, Submission, Verdict
from write_model.store.arrays import Bytes, Uuids
from write_model.store.batch import prepared
from write_model.store.committer import Committer
from write_model.store.connections import Reader
from write_model.store.loader import Loader
from write_model.store.notifier import Notifier
from write_model.store.partitions import partition_of
from write_model.store.personal_data import KeyRing, SubjectKey
from write_model.store.rows import (
    COMMAND_COLUMNS,
    EVENT_COLUMNS,
    KEY_COLUMNS,
    Fact,
    command_record_of,
    facts_of,
    keys_of,
    people_in,
    recorded_of,
    subjects_of,
)

# The statements hold nothing but names of our own.
_STREAMS = f"SELECT {EVENT_COLUMNS} FROM ccontrol.read_streams(%b, %b, %b)"  # noqa: S608
_SNAPSHOTS = (
    "SELECT stream_id, version, state_type, state_version, state FROM ccontrol.read_snapshots(%b, %b, %b)"
)
_KEEP_SNAPSHOT = "SELECT ccontrol.keep_snapshot(%b, %b, %b, %b, %b, %b, %b)"
_VERSIONS = "SELECT stream_id, version FROM ccontrol.stream_versions(%b, %b, %b)"
_RECORDS = f"SELECT {COMMAND_COLUMNS} FROM ccontrol.command_records(%b, %b, %b, %b)"  # noqa: S608
_RECORD = f"SELECT {COMMAND_COLUMNS} FROM ccontrol.command_record(%b, %b, %b)"  # noqa: S608
_KEYS = f"SELECT {KEY_COLUMNS} FROM ccontrol.subject_keys_of(%b, %b, %b)"  # noqa: S608
_KEEP_KEYS = f"SELECT {KEY_COLUMNS} FROM ccontrol.keep_subject_keys(%b, %b, %b, %b, %b)"  # noqa: S608
_DESTROY_KEY = "SELECT ccontrol.destroy_subject_key(%b, %b, %b)"
_REFUSAL = f"SELECT 1 FROM ccontrol.record_refusal({', '.join(['%b'] * 13)})"  # noqa: S608
_HEAD = "SELECT position FROM ccontrol.partition_heads WHERE partition = %b"
_FORM = (
    "SELECT (SELECT count(*) FROM ccontrol.partition_heads), "  # noqa: S608 - ours
    f"({epoch.LATEST}), ({epoch.INSTALLATION})"
)

_READERS_MAX = 6


class Store:
    """Made by `open`, used from one event loop, ended by `close`."""

    partitions: int
    epoch: int
    """Set anew by whoever watches it, see `epoch.watch`."""
    installation: str
    """Which database this is, see `epoch.INSTALLATION`."""

    def __init__(self, url: str, keyring: KeyRing, ids: Callable[[], UUID], *, readers_max: int) -> None:
        self.history_lost: Callable[[], None] = lambda: None
        """Called when an append finds that the database was restored, before anybody has said so."""
        self._ring = keyring
        self._ids = ids
        self._reader = Reader(url, connections.APP, size_max=readers_max)
        self._connect = lambda: connections.connect(url, connections.APP)
        self._notifier = Notifier(lambda: connections.connect(url, connections.APP, synchronous_commit="off"))
        self._committers: dict[int, Committer] = {}
        self._loaders: dict[int, Loader] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls, url: str, keyring: KeyRing, ids: Callable[[], UUID], *, readers_max: int = _READERS_MAX
    ) -> "Store":
        """Connect, and refuse to start when the program cannot read what may be in the store."""
        topics.load()
        store = cls(url, keyring, ids, readers_max=readers_max)
        try:
            ((store.partitions, store.epoch, store.installation),) = await store._reader.rows(_FORM)
        except BaseException:
            await store._reader.close()
            raise
        return store

    async def close(self) -> None:
        """Finish what is being appended, then disconnect."""
        await asyncio.gather(*(committer.close() for committer in self._committers.values()))
        await asyncio.gather(*(loader.close() for loader in self._loaders.values()), self.kept())
        await self._notifier.close()
        await self._reader.close()

    def partition_of(self, company_id: UUID) -> int:
        """The partition that holds everything of this company."""
        return partition_of(company_id, self.partitions)

    async def append(self, submission: Submission) -> Verdict:
        """Record decided commands, together with whatever else is being recorded at this moment."""
        append.check(submission)
        partition = self.partition_of(submission.company_id)
        texts = await self._encoded(partition, submission)
        committer = self._committers.get(partition)
        if committer is None:
            committer = self._committers[partition] = Committer(
                partition, self._connect, self._notifier.wake, self._lost
            )
        return await committer.submit(prepared(submission, texts))

    async def read_streams(self, company_id: UUID, stream_ids: Sequence[UUID]) -> dict[UUID, list[Recorded]]:
        """Whole streams and all that is recorded of them, in order; one never written is an empty list."""
        partition = self.partition_of(company_id)
        rows = await self._reader.rows(_STREAMS, (partition, company_id, Uuids(stream_ids)))
        keys = {company_id: await self._keys(company_id, subjects_of(rows).get(company_id, set()))}
        streams: dict[UUID, list[Recorded]] = {stream_id: [] for stream_id in stream_ids}
        for row in rows:
            recorded = recorded_of(row, keys)
            streams[recorded.stream_id].append(recorded)
        return streams

    async def read_on(self, company_id: UUID, after: Mapping[UUID, int]) -> dict[UUID, list[Fact]]:
        """The facts after a version of each of these streams, in order."""
        partition = self.partition_of(company_id)
        loader = self._loaders.get(partition)
        if loader is None:
            loader = self._loaders[partition] = Loader(partition, self._reader.rows)
        found = await loader.load(company_id, after)
        keys = await self._keys(company_id, people_in(chain.from_iterable(found.values())))
        return {stream: facts_of(company_id, rows, keys) for stream, rows in found.items()}

    async def read_snapshots(
        self, company_id: UUID, kinds: Mapping[UUID, type[State]]
    ) -> dict[UUID, tuple[int, State]]:
        """The latest usable snapshot of each of these streams: its version and state."""
        partition = self.partition_of(company_id)
        found = {}
        for stream, version, state_type, state_version, stored in await self._reader.rows(
            _SNAPSHOTS, (partition, company_id, Uuids(kinds))
        ):
            kind = kinds[stream]
            if (state_type, state_version) == (kind.kind, kind.snapshot_version):
                state = snapshots.decode(stream, version, kind, stored, self._fingerprint_of(company_id))
                if state is not None:
                    found[stream] = (version, state)
        return found

    def keep_snapshot(self, company_id: UUID, stream: UUID, version: int, state: State) -> None:
        """Keep a state in the background. If that fails nothing is lost but time, when it is loaded."""
        stored = snapshots.encode(stream, version, state, self._fingerprint_of(company_id))
        kind = type(state)
        values = (self.partition_of(company_id), company_id, stream, version, kind.kind)
        keeping = asyncio.create_task(self._keep((*values, kind.snapshot_version, stored)), name="snapshot")
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)

    async def kept(self) -> None:
        """When no snapshot is on its way any more."""
        await asyncio.gather(*self._keeping)

    async def versions(self, company_id: UUID, stream_ids: Sequence[UUID]) -> dict[UUID, int]:
        """The present version of each stream, 0 for one that was never written."""
        partition = self.partition_of(company_id)
        rows = await self._reader.rows(_VERSIONS, (partition, company_id, Uuids(stream_ids)))
        return {stream_id: version for stream_id, version in rows}  # noqa: C416 - typed

    async def command_records(
        self, company_id: UUID, actor_id: UUID, keys: Sequence[str]
    ) -> dict[str, CommandRecord]:
        """What was recorded under these idempotency keys of this actor."""
        partition = self.partition_of(company_id)
        rows = await self._reader.rows(_RECORDS, (partition, company_id, actor_id, list(keys)))
        return {record.idempotency_key: record for record in map(command_record_of, rows)}

    async def command_record(self, company_id: UUID, command_id: UUID) -> CommandRecord | None:
        """What was recorded for one command."""
        rows = await self._reader.rows(_RECORD, (self.partition_of(company_id), company_id, command_id))
        return command_record_of(rows[0]) if rows else None

    async def record_refusal(
        self, context: Context, *, topic: str, target: str | None, code: str, params: Mapping[str, str]
    ) -> None:
        """Keep who asked for what and why it was refused."""
        actor = context.actor
        partition = self.partition_of(context.company_id)
        await self._reader.rows(
            _REFUSAL,
            (
                partition,
                context.company_id,
                self._ids(),
                actor.kind,
                actor.id,
                actor.on_behalf_of,
                context.command_id,
                context.correlation_id,
                topic,
                target,
                code,
                json.dumps(dict(params), ensure_ascii=False, sort_keys=True),
                context.channel,
            ),
        )

    def fingerprint(self, company_id: UUID, text: str) -> str:
        """A keyed hash of `text` under the company's key."""
        return self._ring.fingerprint(company_id, text)

    def webhook_secret(self, company_id: UUID, webhook_id: UUID, secret_id: UUID) -> bytes:
        """The secret with this id, by which a partner knows what is ours."""
        return self._ring.webhook_secret(company_id, webhook_id, secret_id)

    async def head(self, partition: int) -> int:
        """The last position of a partition."""
        ((position,),) = await self._reader.rows(_HEAD, (partition,))
        return int(position)

    async def destroy_subject_key(self, company_id: UUID, subject: UUID) -> None:
        """Erase a person: once this returns, what is stored about them can never be read again.

        Not whether there was a key: after a lost reply it is asked again, and the first try destroyed it.
        Whoever asks for it also appends the event that says so.
        """
        await self._reader.rows(_DESTROY_KEY, (self.partition_of(company_id), company_id, subject))

    def _lost(self) -> None:
        self.history_lost()

    async def _keep(self, snapshot: tuple[object, ...]) -> None:
        with suppress(StoreError):
            await self._reader.rows(_KEEP_SNAPSHOT, snapshot)

    def _fingerprint_of(self, company_id: UUID) -> Callable[[str], str]:
        return lambda text: self.fingerprint(company_id, text)

    async def _encoded(self, partition: int, submission: Submission) -> tuple[str, ...]:
        news = [new for command in submission.commands for new in command.events]
        personal = {kind for kind in {type(new.event) for new in news} if topics.has_personal_data(kind)}
        if not personal:
            return tuple([topics.encode(new.event) for new in news])
        subjects = {
            text.subject
            for new in news
            if type(new.event) in personal
            for text in topics.personal_in(new.event)
        }
        keys = await self._kept_keys(partition, submission.company_id, subjects) if subjects else {}
        return tuple(self._encode(submission.company_id, new.event_id, new.event, keys) for new in news)

    def _encode(self, company_id: UUID, event_id: UUID, fact: Event, keys: Mapping[UUID, SubjectKey]) -> str:
        if not topics.has_personal_data(type(fact)):
            return topics.encode(fact)
        return topics.encode(fact, personal_data.sealer_of(company_id, event_id, keys))

    async def _kept_keys(
        self, partition: int, company_id: UUID, subjects: set[UUID]
    ) -> Mapping[UUID, SubjectKey]:
        ordered = sorted(subjects)
        offers = personal_data.offers_for(self._ring, company_id, ordered)
        rows = await self._reader.rows(
            _KEEP_KEYS, (partition, company_id, Uuids(ordered), self._ring.newest, Bytes(offers))
        )
        return keys_of(rows, self._ring)[company_id]

    async def _keys(self, company_id: UUID, subjects: set[UUID]) -> Mapping[UUID, SubjectKey]:
        if not subjects:
            return {}
        partition = self.partition_of(company_id)
        rows = await self._reader.rows(_KEYS, (partition, company_id, Uuids(subjects)))
        return keys_of(rows, self._ring).get(company_id, {})
