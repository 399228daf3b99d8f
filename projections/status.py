"""How projections are: for the command line, the doors of operators, and metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from projections import metrics
from projections.catalogue import PROJECTIONS
from projections.pages import EventLog
from projections.projector import AnyProjection
from projections.roster import REBUILD_LOCK

_SERVED = """
SELECT p.name, p.lane, p.klass, p.generation, p.paused, p.reason, g.version, g.promoted_at
    FROM read.projections p JOIN read.generations g ON g.projection = p.name AND g.generation = p.generation
    ORDER BY p.name
"""
_LAGS = "SELECT projection, partition, position_at, oldest_at, progressed_at, state FROM read.lags()"
# Who builds holds the lock of the projection. A generation that has its indexes was built to the end.
_GENERATIONS = f"""
SELECT g.projection, g.generation, g.version,
        CASE WHEN g.status <> 'building' OR EXISTS (SELECT FROM pg_locks l
                WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = {REBUILD_LOCK}
                    AND l.objid::bigint = hashtext(g.projection)::bigint & 4294967295
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
            THEN g.status WHEN g.indexed THEN 'built' ELSE 'unfinished' END,
        g.created_at, g.promoted_at,
        (SELECT coalesce(sum(c.position), 0)::bigint FROM read.checkpoints c
            WHERE c.projection = g.projection AND c.generation = g.generation)
    FROM read.generations g ORDER BY g.projection, g.generation
"""  # noqa: S608  # our own constant
_WAITING = """
SELECT projection, progress->>'waiting_for' FROM read.jobs
    WHERE state = 'running' AND progress->>'waiting_for' IS NOT NULL
        AND heartbeat_at > clock_timestamp() - interval '10 seconds'
"""
_FAILURES = """
SELECT projection, partition, position, event_id, topic, error, version, tries, first_seen, last_seen
    FROM read.failures WHERE resolved_at IS NULL ORDER BY projection, partition
"""
_SKIPS = """
SELECT projection, partition, position, reason, actor, break_glass, skipped_at
    FROM read.skips ORDER BY projection, skipped_at
"""
_ACTS = """
SELECT p.name, a.act, a.reason, a.actor, a.done_at FROM read.projections p
    CROSS JOIN LATERAL (SELECT * FROM read.acts WHERE projection = p.name ORDER BY act_id DESC LIMIT 10) AS a
    ORDER BY p.name, a.act_id
"""
STATES: Mapping[str, int] = {"running": 0, "rebuilding": 1, "blocked": 2, "paused": 3, "failed": 4}
"""What a projection can be, and the number its gauge shows for it."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition of one projection."""

    partition: int
    position: int
    head: int
    state: str
    oldest_at: datetime | None
    progressed_at: datetime


@dataclass(frozen=True, slots=True)
class GenerationStatus:
    """One generation that exists.

    `status`: `live`; `kept` for a way back; `building`; `built`, waiting to be promoted; `unfinished`, whose
    rebuild was interrupted; `scratch` of a comparison.
    """

    generation: int
    version: int
    status: str
    created_at: datetime
    promoted_at: datetime | None
    position: int


@dataclass(frozen=True, slots=True)
class Failure:
    """The event at which a projection stopped."""

    partition: int
    position: int
    event_id: UUID | None
    topic: str | None
    error: str
    version: int
    tries: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Skip:
    """An event an operator had left out."""

    partition: int
    position: int
    reason: str
    actor: str
    break_glass: bool
    skipped_at: datetime


@dataclass(frozen=True, slots=True)
class Operated:
    """Who has paused or resumed it."""

    act: str
    reason: str | None
    actor: str
    done_at: datetime


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """One projection. `version` is what is served, `code_version` what this program would build."""

    name: str
    version: int
    code_version: int | None
    generation: int
    lane: str
    klass: str
    state: str
    reason: str | None
    promoted_at: datetime | None
    partitions: tuple[PartitionStatus, ...]
    lag_seconds: float
    generations: tuple[GenerationStatus, ...] = ()
    failures: tuple[Failure, ...] = ()
    skips: tuple[Skip, ...] = ()
    waiting_for: str | None = None
    """What the work on it cannot go on without."""
    acts: tuple[Operated, ...] = ()
    """The last of them."""

    @property
    def position(self) -> int:
        return sum(partition.position for partition in self.partitions)

    @property
    def head(self) -> int:
        return sum(partition.head for partition in self.partitions)

    @property
    def lag_events(self) -> int:
        return sum(max(0, partition.head - partition.position) for partition in self.partitions)


@dataclass(slots=True)
class _Bookkeeping:
    """What is written down, by projection."""

    partitions: dict[str, list[PartitionStatus]] = field(default_factory=dict)
    generations: dict[str, list[GenerationStatus]] = field(default_factory=dict)
    failures: dict[str, list[Failure]] = field(default_factory=dict)
    skips: dict[str, list[Skip]] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    acts: dict[str, list[Operated]] = field(default_factory=dict)


async def status(
    engine: AsyncEngine, log: EventLog, *, projections: Sequence[type[AnyProjection]] = PROJECTIONS
) -> list[ProjectionStatus]:
    """Every registered projection. `lag_seconds` is the age of the oldest event it has not folded."""
    versions = {kind.name: kind.version for kind in projections}
    heads = await log.heads()
    async with engine.connect() as connection:
        served = (await connection.execute(text(_SERVED))).all()
        kept = await _bookkeeping(connection, heads)
    found = []
    for name, lane, klass, generation, paused, reason, version, promoted_at in served:
        partitions = tuple(kept.partitions.get(name, ()))
        generations = tuple(kept.generations.get(name, ()))
        building = any(each.status == "building" for each in generations)
        outdated = name in versions and versions[name] != version
        found.append(
            ProjectionStatus(
                name,
                version,
                versions.get(name),
                generation,
                lane,
                klass,
                _state(paused, bool(kept.failures.get(name)), partitions, building or outdated),
                reason,
                promoted_at,
                partitions,
                _oldest_seconds(partitions),
                generations,
                tuple(kept.failures.get(name, ())),
                tuple(kept.skips.get(name, ())),
                kept.waiting.get(name),
                tuple(kept.acts.get(name, ())),
            )
        )
    return found


def observe(statuses: Sequence[ProjectionStatus]) -> None:
    """Set the gauges."""
    metrics.HEAD.set(max((each.head for each in statuses), default=0))
    for each in statuses:
        metrics.POSITION.labels(each.name).set(each.position)
        metrics.LAG_EVENTS.labels(each.name).set(each.lag_events)
        metrics.LAG_SECONDS.labels(each.name).set(each.lag_seconds)
        metrics.STATE.labels(each.name).set(STATES[each.state])


def _state(paused: bool, failed: bool, partitions: Sequence[PartitionStatus], rebuilding: bool) -> str:
    """The worst that can be said of it."""
    if paused:
        return "paused"
    if failed:
        return "failed"
    if any(partition.state == "stuck" for partition in partitions):
        return "blocked"
    return "rebuilding" if rebuilding else "running"


async def _bookkeeping(connection: AsyncConnection, heads: Mapping[int, int]) -> _Bookkeeping:
    found = _Bookkeeping()
    for name, partition, position, oldest_at, progressed_at, state in await connection.execute(text(_LAGS)):
        head = heads.get(partition, 0)
        # What is not written down is at least as old as the last progress.
        oldest = (oldest_at or progressed_at) if head > position else None
        found.partitions.setdefault(name, []).append(
            PartitionStatus(partition, position, head, state, oldest, progressed_at)
        )
    for row in await connection.execute(text(_GENERATIONS)):
        found.generations.setdefault(row[0], []).append(GenerationStatus(*row[1:]))
    for row in await connection.execute(text(_FAILURES)):
        found.failures.setdefault(row[0], []).append(Failure(*row[1:]))
    for row in await connection.execute(text(_SKIPS)):
        found.skips.setdefault(row[0], []).append(Skip(*row[1:]))
    for name, what_for in await connection.execute(text(_WAITING)):
        found.waiting[name] = what_for
    for row in await connection.execute(text(_ACTS)):
        found.acts.setdefault(row[0], []).append(Operated(*row[1:]))
    return found


def _oldest_seconds(partitions: Sequence[PartitionStatus]) -> float:
    oldest = min((each.oldest_at for each in partitions if each.oldest_at), default=None)
    return max(0.0, (datetime.now(UTC) - oldest).total_seconds()) if oldest else 0.0
