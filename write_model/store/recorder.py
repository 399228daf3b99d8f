"""The recorder port of the `eventsourcing` library over one company of this store.

    PERSISTENCE_MODULE=write_model.store.recorder:RecorderFactory
    CCONTROL_COMPANY_ID=…      and the library's own POSTGRES_DBNAME, _HOST, _PORT, _USER, _PASSWORD

Applications written with that library then live in the same append-only, chained, isolated table. What the
library calls a state is any bytes and its versions may begin at 0, so an event of its own is kept as
`{"originator_version": n, "state": base64}`, on the channel `eventsourcing`, and as version 1, 2, 3, … of
its stream. The events of this product are shown to it too: their canonical JSON is then the state.

This is the only module that imports the library, whose persistence module changes `dataclasses` for the
whole process: import this one only where the library is wanted.

Not offered: tracking and process recorders (projections here keep checkpoints with their own rows), text
ids (a stream is a UUID), the library's database functions (they lose events and tracking).
"""

import base64
import json
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    InterfaceError,
    Notification,
    NotSupportedError,
    OperationalError,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    TrackingRecorder,
)
from eventsourcing.postgres import (
    PostgresAggregateRecorder,
    PostgresApplicationRecorder,
    PostgresDatastore,
    PostgresFactory,
)
from eventsourcing.utils import Environment, EnvType, retry

from write_model.message import Actor, Context
from write_model.store import arrays, connections
from write_model.store.arrays import Uuids
from write_model.store.batch import APPEND, Columns
from write_model.store.notifier import CHANNEL
from write_model.store.partitions import partition_of

COMPANY = "CCONTROL_COMPANY_ID"
_CHANNEL = "eventsourcing"
_NOBODY = UUID(int=0)
_POLL_SECONDS = 0.25
_PAGE = 500

# The library's version of an event: its own where it wrote the event, otherwise the version in the stream.
_EVENTS = """
    SELECT * FROM (
        SELECT stream_id, version, position, topic, channel, data,
               CASE channel WHEN 'eventsourcing' THEN (data::json ->> 'originator_version')::int
                            ELSE version END AS originator_version
        FROM ccontrol.events WHERE partition = %(partition)s AND company_id = %(company)s
    ) AS e
"""
_LAST = """
    SELECT s.stream_id, e.version, e.originator_version
    FROM unnest(%(streams)s::uuid[]) AS s(stream_id)
    JOIN LATERAL (
        SELECT version, CASE channel WHEN 'eventsourcing' THEN (data::json ->> 'originator_version')::int
                                     ELSE version END AS originator_version
        FROM ccontrol.events
        WHERE partition = %(partition)s AND stream_id = s.stream_id ORDER BY version DESC LIMIT 1
    ) AS e ON true
"""


class CompanyRecorder(PostgresApplicationRecorder):
    """Stores and finds events of one company; notification ids are positions of its partition.

    They are dense in a partition, not in a company: where companies share a partition each sees gaps.
    """

    def __init__(self, datastore: PostgresDatastore, company_id: UUID) -> None:
        super().__init__(datastore, events_table_name="events")
        self._company_id = company_id
        with self.datastore.get_connection() as connection:
            partitions = _one(connection.execute("SELECT count(*) FROM ccontrol.partition_heads"))["count"]
        self._partition = partition_of(company_id, partitions)
        self._scope = {"partition": self._partition, "company": company_id}

    def create_table(self) -> None:
        """Nothing: the table is made by the migrations."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Record events together. Their versions must follow on from those of their streams."""
        if kwargs.get("tracking") is not None:
            raise NotSupportedError("tracking is kept by the projections themselves")
        if not stored_events:
            return None
        # Made once, outside the retries: if the answer to an attempt is lost, the next finds its key taken.
        positions: list[int] = self._append(stored_events, uuid4())
        with suppress(OperationalError, InterfaceError), self.datastore.get_connection() as connection:
            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(self._partition)))
        return positions

    @retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
    def _append(self, stored_events: Sequence[StoredEvent], command_id: UUID) -> list[int]:
        with self.datastore.get_connection() as connection, connection.cursor() as cursor:
            arrays.register(connection)
            try:
                last = self._last_versions(cursor, stored_events)
                columns = _columns_of(stored_events, last, self._company_id, command_id)
                arguments = [self._partition, Uuids([self._company_id]), *columns.arguments()]
                answer = _one(cursor.execute(APPEND, arguments, prepare=True))
                if answer["taken"] or answer["moved"]:
                    raise IntegrityError("a stream has moved meanwhile")
            except IntegrityError:
                # It may have been an earlier attempt of this very call, whose answer was lost.
                positions = self._positions_of(cursor, command_id)
                if positions is None:
                    raise
                return positions
            return list(range(answer["head"] + 1, answer["head"] + 1 + len(stored_events)))

    def _last_versions(
        self, cursor: "psycopg.Cursor[Any]", stored_events: Sequence[StoredEvent]
    ) -> dict[UUID, tuple[int, int]]:
        streams = {_uuid(event.originator_id) for event in stored_events}
        rows = cursor.execute(_LAST, {**self._scope, "streams": list(streams)}, prepare=True)
        return {row["stream_id"]: (row["version"], row["originator_version"]) for row in rows}

    def _positions_of(self, cursor: "psycopg.Cursor[Any]", command_id: UUID) -> list[int] | None:
        found = cursor.execute(
            "SELECT first_position, last_position FROM ccontrol.commands "
            "WHERE partition = %(partition)s AND company_id = %(company)s AND command_id = %(command)s",
            {**self._scope, "command": command_id},
        ).fetchone()
        return None if found is None else list(range(found["first_position"], found["last_position"] + 1))

    @retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The events of one stream."""
        query = _EVENTS + (
            "WHERE stream_id = %(stream)s AND (%(gt)s::int IS NULL OR originator_version > %(gt)s) "
            "AND (%(lte)s::int IS NULL OR originator_version <= %(lte)s) "
            f"ORDER BY version {'DESC' if desc else 'ASC'} LIMIT %(limit)s"
        )
        parameters = {**self._scope, "stream": _uuid(originator_id), "gt": gt, "lte": lte, "limit": limit}
        with self.datastore.get_connection() as connection:
            return [
                StoredEvent(
                    originator_id=row["stream_id"],
                    originator_version=row["originator_version"],
                    topic=row["topic"],
                    state=_state(row),
                )
                for row in connection.execute(query, parameters)
            ]

    @retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """The events of the company in the order of their positions."""
        after = (start or 0) - 1 if inclusive_of_start else start or 0
        query = _EVENTS + (
            "WHERE position > %(after)s AND (%(stop)s::bigint IS NULL OR position <= %(stop)s) "
            "AND (cardinality(%(topics)s::text[]) = 0 OR topic = ANY (%(topics)s)) "
            "ORDER BY position LIMIT %(limit)s"
        )
        parameters = {**self._scope, "after": after, "stop": stop, "topics": list(topics), "limit": limit}
        with self.datastore.get_connection() as connection:
            return [
                Notification(
                    id=row["position"],
                    originator_id=row["stream_id"],
                    originator_version=row["originator_version"],
                    topic=row["topic"],
                    state=_state(row),
                )
                for row in connection.execute(query, parameters)
            ]

    @retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
    def max_notification_id(self) -> int | None:
        """The position of the company's last event."""
        with self.datastore.get_connection() as connection:
            row = connection.execute(
                "SELECT position FROM ccontrol.events WHERE partition = %(partition)s "
                "AND company_id = %(company)s ORDER BY position DESC LIMIT 1",
                self._scope,
            ).fetchone()
        return None if row is None else int(row["position"])

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Follow the company's events."""
        return CompanySubscription(self, gt=gt, topics=topics)


class CompanySubscription(Subscription[ApplicationRecorder]):
    """Yields events as they come.

    The library's own may lose its first wake-up and never looks by itself; it also does not pass over events
    of other topics. This one listens before it reads, polls, and moves past whatever it filters out.
    """

    def __init__(self, recorder: CompanyRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt=gt, topics=topics)
        self._ready: deque[Notification] = deque()
        self._listener = psycopg.Connection.connect(**_settings(recorder.datastore), autocommit=True)
        self._listener.execute(f"LISTEN {CHANNEL}")

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        super().__exit__(*args, **kwargs)
        self._listener.close()

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            if self._ready:
                return self._ready.popleft()
            page = self._recorder.select_notifications(
                start=self._last_notification_id, limit=_PAGE, inclusive_of_start=False
            )
            if page:
                self._last_notification_id = page[-1].id
                self._ready.extend(n for n in page if not self._topics or n.topic in self._topics)
            else:
                for _ in self._listener.notifies(timeout=_POLL_SECONDS, stop_after=1):
                    pass
        raise StopIteration


class CompanySnapshotRecorder(PostgresAggregateRecorder):
    """Snapshots of the library's aggregates, in the table all snapshots are in."""

    def __init__(self, datastore: PostgresDatastore, partition: int, company_id: UUID) -> None:
        super().__init__(datastore, events_table_name="snapshots")
        self._scope = {"partition": partition, "company": company_id}

    def create_table(self) -> None:
        """Nothing: the table is made by the migrations."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Keep snapshots; one there already is an error, as the port demands."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.executemany(
                "INSERT INTO ccontrol.snapshots "
                "(partition, company_id, stream_id, version, state_type, state_version, state) "
                "VALUES (%(partition)s, %(company)s, %(stream)s, %(version)s, %(topic)s, 1, %(state)s)",
                [
                    {
                        **self._scope,
                        "stream": _uuid(event.originator_id),
                        "version": event.originator_version,
                        "topic": event.topic,
                        "state": event.state,
                    }
                    for event in stored_events
                ],
            )
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The snapshots of one stream."""
        query = (
            "SELECT stream_id, version, state_type, state FROM ccontrol.snapshots "  # noqa: S608
            "WHERE partition = %(partition)s AND stream_id = %(stream)s "
            "AND (%(gt)s::int IS NULL OR version > %(gt)s) AND (%(lte)s::int IS NULL OR version <= %(lte)s) "
            f"ORDER BY version {'DESC' if desc else 'ASC'} LIMIT %(limit)s"
        )
        parameters = {**self._scope, "stream": _uuid(originator_id), "gt": gt, "lte": lte, "limit": limit}
        with self.datastore.get_connection() as connection:
            return [
                StoredEvent(row["stream_id"], row["version"], row["state_type"], bytes(row["state"]))
                for row in connection.execute(query, parameters)
            ]


class RecorderFactory(PostgresFactory):
    """Makes the recorders of one company for an application of the library."""

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        company = self.env.get(COMPANY)
        if company is None:
            raise OSError(f"{COMPANY} is not set")
        self._company_id = UUID(company)
        # Elsewhere the company is set per statement, because connections are shared between companies. This
        # pool is this company's alone.
        _settings(self.datastore)["options"] = " ".join(
            f"-c {name}={value}"
            for name, value in {
                "role": connections.APP,
                "ccontrol.company": company,
                "enable_seqscan": "off",
            }.items()
        )

    def application_recorder(self) -> CompanyRecorder:
        """The events of the company."""
        return CompanyRecorder(self.datastore, self._company_id)

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """The snapshots of the company; events have the application recorder."""
        if purpose != "snapshots":
            raise NotSupportedError(f"no recorder for {purpose}")
        recorder = self.application_recorder()
        return CompanySnapshotRecorder(self.datastore, recorder._partition, self._company_id)

    def tracking_recorder(self, tracking_recorder_class: Any = None) -> Any:
        """Not offered."""
        raise NotSupportedError(f"{TrackingRecorder.__name__}: projections keep their own checkpoints")

    def process_recorder(self) -> ProcessRecorder:
        """Not offered."""
        raise NotSupportedError("projections keep their own checkpoints")


def _columns_of(
    stored_events: Sequence[StoredEvent],
    last: dict[UUID, tuple[int, int]],
    company_id: UUID,
    command_id: UUID,
) -> Columns:
    columns = Columns()
    context = _context(company_id, command_id)
    columns.add_command(1, context, f"{_CHANNEL}.insert_events", "{}", len(stored_events))
    expected = {
        stream_id: columns.expect(stream_id, last[stream_id][0] if stream_id in last else 0)
        for stream_id in {_uuid(event.originator_id) for event in stored_events}
    }
    reached = dict(last)
    for event in stored_events:
        stream_id = _uuid(event.originator_id)
        # The first of a stream may have any number; the library begins at 1, its tests also at 0.
        version, numbered = reached.get(stream_id, (0, event.originator_version - 1))
        if event.originator_version != numbered + 1:
            raise IntegrityError(f"version {event.originator_version} does not follow on from {numbered}")
        reached[stream_id] = (version + 1, event.originator_version)
        columns.add_event(expected[stream_id], version + 1, event.topic, 1, uuid4(), _wrapped(event))
    return columns


def _context(company_id: UUID, command_id: UUID) -> Context:
    """The library knows neither who acts nor for which day; what is recorded says so honestly."""
    today = datetime.now(UTC).date()
    return Context(
        company_id=company_id,
        actor=Actor("system", _NOBODY),
        command_id=command_id,
        correlation_id=command_id,
        idempotency_key=str(command_id),
        body_hash=b"",
        effective_date=today,
        today=today,
        channel=_CHANNEL,
    )


def _settings(datastore: PostgresDatastore) -> dict[str, Any]:
    """How the connections of a pool are made; changes apply to those made from now on."""
    settings = datastore.pool.kwargs
    if not isinstance(settings, dict):
        raise TypeError("the library no longer keeps its connection settings in a dict")
    return settings


def _one(cursor: "psycopg.Cursor[Any]") -> dict[str, Any]:
    row: dict[str, Any] | None = cursor.fetchone()
    if row is None:
        raise OperationalError("a statement that always answers did not")
    return row


def _wrapped(event: StoredEvent) -> str:
    state = base64.b64encode(event.state).decode()
    return json.dumps({"originator_version": event.originator_version, "state": state}, separators=(",", ":"))


def _state(row: dict[str, Any]) -> bytes:
    if row["channel"] != _CHANNEL:
        return str(row["data"]).encode()
    return base64.b64decode(json.loads(row["data"])["state"])


def _uuid(originator_id: UUID | str) -> UUID:
    return originator_id if isinstance(originator_id, UUID) else UUID(originator_id)
