"""Who runs: every projection of the catalogue with its served generation, its failures and its skips."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from projections.connections import Connection
from projections.fold import Folder
from projections.generations import create_tables, point_views, shape_of, tables_of
from projections.projector import AnyProjection

# Two-key advisory locks: the first says what for, the second hashes the projection's name.
REGISTER_LOCK = 0x7EAE
REBUILD_LOCK = 0x7EAF

_SERVED = """
SELECT p.name, p.generation, p.paused, g.version, g.shape
    FROM read.projections p JOIN read.generations g ON g.projection = p.name AND g.generation = p.generation
    WHERE p.name = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One projection as it is served now; outdated when other code filled the served generation."""

    folder: Folder
    generation: int
    paused: bool
    outdated: bool

    @property
    def name(self) -> str:
        return self.folder.projection.name

    @property
    def lane(self) -> str:
        return self.folder.projection.lane


@dataclass(frozen=True, slots=True)
class Roster:
    """A look at the bookkeeping; two equal ones mean that nothing has to be done."""

    entries: tuple[Entry, ...] = ()
    failed: frozenset[tuple[str, int]] = frozenset()
    skips: Mapping[tuple[str, int], Collection[int]] = field(default_factory=dict)

    def running(self, lane: str, partition: int) -> list[Entry]:
        """Whom to fold for."""
        return [
            entry
            for entry in self.entries
            if entry.lane == lane
            and not entry.paused
            and not entry.outdated
            and (entry.name, partition) not in self.failed
        ]

    def outdated(self, lane: str) -> list[Entry]:
        """Whose next generation has to be built by the present code, and can be as far as is known."""
        stopped = {name for name, _ in self.failed}
        return [
            entry
            for entry in self.entries
            if entry.lane == lane and entry.outdated and not entry.paused and entry.name not in stopped
        ]


class Catalogue:
    """The projections this process knows, instantiated once."""

    def __init__(self, projections: Sequence[type[AnyProjection]]) -> None:
        self.kinds = {kind.name: kind for kind in projections}
        if len(self.kinds) != len(projections):
            raise ValueError("two projections have the same name")
        self.shapes = {kind.name: shape_of(kind) for kind in projections}
        self.folders = {kind.name: Folder(kind()) for kind in projections}

    async def register(self, connection: Connection, partitions: Iterable[int]) -> None:
        """Make the first generation of every projection that is new; the rest is left as it is."""
        for kind in self.kinds.values():
            async with connection.transaction():
                await connection.execute(
                    "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (REGISTER_LOCK, kind.name)
                )
                await self._register(connection, kind, list(partitions))

    async def _register(
        self, connection: Connection, kind: type[AnyProjection], partitions: list[int]
    ) -> None:
        cursor = await connection.execute(
            "INSERT INTO read.projections (name, lane, klass, generation) VALUES (%s, %s, %s, 1) "
            "ON CONFLICT (name) DO UPDATE SET lane = EXCLUDED.lane, klass = EXCLUDED.klass "
            "WHERE (projections.lane, projections.klass) IS DISTINCT FROM (EXCLUDED.lane, EXCLUDED.klass) "
            "RETURNING generation, xmax = 0",
            (kind.name, kind.lane, kind.klass),
        )
        if await cursor.fetchone() != (1, True):
            return
        tables = tables_of(kind)
        await create_tables(connection, tables, 1, indexed=True)
        await point_views(connection, [table.name for table in tables], 1, ())
        await record_generation(connection, kind, self.shapes[kind.name], 1, "live", partitions, indexed=True)

    async def look(self, connection: Connection) -> Roster:
        """Read the bookkeeping."""
        names = list(self.kinds)
        served = await (await connection.execute(_SERVED, (names,))).fetchall()
        failed = await connection.execute(
            "SELECT projection, partition FROM read.failures WHERE resolved_at IS NULL"
        )
        entries = [
            Entry(
                self.folders[name],
                generation,
                paused,
                (version, shape) != (self.kinds[name].version, self.shapes[name]),
            )
            for name, generation, paused, version, shape in sorted(served)
        ]
        return Roster(tuple(entries), frozenset(await failed.fetchall()), await read_skips(connection))


async def read_skips(connection: Connection) -> dict[tuple[str, int], frozenset[int]]:
    """The events left out, by projection and partition."""
    cursor = await connection.execute(
        "SELECT projection, partition, array_agg(position) FROM read.skips GROUP BY 1, 2"
    )
    return {(name, partition): frozenset(found) for name, partition, found in await cursor.fetchall()}


async def record_generation(
    connection: Connection,
    kind: type[AnyProjection],
    shape: str,
    generation: int,
    status: str,
    partitions: Sequence[int],
    *,
    indexed: bool,
) -> None:
    """Note a new generation, at position 0 everywhere."""
    await connection.execute(
        "INSERT INTO read.generations (projection, generation, version, shape, status, tables, indexed) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (kind.name, generation, kind.version, shape, status, [t.name for t in tables_of(kind)], indexed),
    )
    await connection.execute(
        "INSERT INTO read.checkpoints (projection, generation, partition, position) "
        "SELECT %s, %s, unnest(%s::smallint[]), 0",
        (kind.name, generation, list(partitions)),
    )
