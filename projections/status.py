"""How projections are: for the command line, readiness and metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from projections import metrics
from projections.catalogue import PROJECTIONS
from projections.pages import EventLog
from projections.projector import AnyProjection

_SERVED = """
SELECT p.name, p.lane, p.klass, p.generation, p.paused, p.reason, g.version,
        EXISTS (SELECT FROM read.generations b WHERE b.projection = p.name AND b.status = 'building')
    FROM read.projections p JOIN read.generations g ON g.projection = p.name AND g.generation = p.generation
    ORDER BY p.name
"""
_CHECKPOINTS = """
SELECT c.projection, c.partition, c.position FROM read.checkpoints c
    JOIN read.projections p ON p.name = c.projection AND p.generation = c.generation
    ORDER BY c.projection, c.partition
"""
_FAILURES = """
SELECT projection, partition, position, event_id, topic, error, version, tries, first_seen, last_seen
    FROM read.failures WHERE resolved_at IS NULL ORDER BY projection, partition
"""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition of one projection."""

    partition: int
    position: int
    head: int


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
    partitions: tuple[PartitionStatus, ...]
    lag_seconds: float
    failures: tuple[Failure, ...]

    @property
    def position(self) -> int:
        return sum(partition.position for partition in self.partitions)

    @property
    def head(self) -> int:
        return sum(partition.head for partition in self.partitions)

    @property
    def lag_events(self) -> int:
        return sum(max(0, partition.head - partition.position) for partition in self.partitions)


async def status(
    engine: AsyncEngine, log: EventLog, *, projections: Sequence[type[AnyProjection]] = PROJECTIONS
) -> list[ProjectionStatus]:
    """Every registered projection. `lag_seconds` is the age of the oldest event it has not folded."""
    versions = {kind.name: kind.version for kind in projections}
    heads = await log.heads()
    async with engine.connect() as connection:
        served = (await connection.execute(text(_SERVED))).all()
        checkpoints = (await connection.execute(text(_CHECKPOINTS))).all()
        failures = await _failures(connection)
    found = []
    for name, lane, klass, generation, paused, reason, version, building in served:
        partitions = tuple(
            PartitionStatus(partition, position, heads.get(partition, 0))
            for projection, partition, position in checkpoints
            if projection == name
        )
        outdated = name in versions and versions[name] != version
        found.append(
            ProjectionStatus(
                name,
                version,
                versions.get(name),
                generation,
                lane,
                klass,
                _state(paused, bool(failures.get(name)), building or outdated),
                reason,
                partitions,
                await _oldest_seconds(log, partitions),
                tuple(failures.get(name, ())),
            )
        )
    return found


def observe(statuses: Sequence[ProjectionStatus]) -> None:
    """Set the gauges."""
    states: Mapping[str, int] = {"running": 0, "rebuilding": 1, "paused": 3, "failed": 4}
    for each in statuses:
        metrics.POSITION.labels(each.name).set(each.position)
        metrics.LAG_EVENTS.labels(each.name).set(each.lag_events)
        metrics.LAG_SECONDS.labels(each.name).set(each.lag_seconds)
        metrics.STATE.labels(each.name).set(states[each.state])


def _state(paused: bool, failed: bool, rebuilding: bool) -> str:
    if paused:
        return "paused"
    if failed:
        return "failed"
    return "rebuilding" if rebuilding else "running"


async def _failures(connection: AsyncConnection) -> dict[str, list[Failure]]:
    found: dict[str, list[Failure]] = {}
    for row in (await connection.execute(text(_FAILURES))).all():
        found.setdefault(row[0], []).append(Failure(*row[1:]))
    return found


async def _oldest_seconds(log: EventLog, partitions: Sequence[PartitionStatus]) -> float:
    oldest: datetime | None = None
    for each in partitions:
        if each.position < each.head:
            page = await log.page(each.partition, each.position, 1)
            if page and (oldest is None or page[0].recorded_at < oldest):
                oldest = page[0].recorded_at
    return max(0.0, (datetime.now(UTC) - oldest).total_seconds()) if oldest else 0.0
