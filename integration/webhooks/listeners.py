"""Who listens in a company, as the projection of webhooks has it: asked once for all who want to know it.

Handlers of many events ask at the same time, of one company or of many: one question is about all of them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from time import monotonic
from typing import Final, NamedTuple
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool

from integration.together import Together
from projections.connections import Connection
from read_model.webhooks.endpoints import ENDPOINT_COLUMNS, Endpoint, endpoint_of

PROJECTION: Final = "webhooks_endpoints"
_COMPANIES_MAX: Final = 10_000
_LOOK_AGAIN_SECONDS: Final = 0.05
# No longer: after a restore of the store positions are given again.
_BELIEVED_SECONDS: Final = 1.0

# A promotion takes the lock exclusively, and LOCK comes before the snapshot is taken: so the rows are of the
# generation whose checkpoints are read (as in `read_model/database.py`).
_BEGIN = """
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; LOCK TABLE read.projections IN ACCESS SHARE MODE
"""
_CHECKPOINTS = """
SELECT c.partition, c.position FROM read.projections p
    JOIN read.checkpoints c ON c.projection = p.name AND c.generation = p.generation WHERE p.name = %s
"""
_ENDPOINTS = f"""
SELECT company_id, {ENDPOINT_COLUMNS} FROM read.webhooks_endpoints WHERE company_id = ANY(%s)
"""  # noqa: S608  # our own column names


class NotFoldedYet(Exception):
    """The projection of webhooks is behind an event; it comes again."""


class _Known(NamedTuple):
    """The webhooks of a company as they were at a position of its partition, and when that was."""

    at: float
    position: int
    endpoints: Sequence[Endpoint]


_Answer = tuple[dict[int, int], dict[UUID, list[Endpoint]]]


class Listeners:
    """Made once per process. `pool` reads the rows of every company."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool
        # For an event before the position they are as good as new: of those registered since none wants it,
        # and the courier looks again before it calls.
        self._known: OrderedDict[UUID, _Known] = OrderedDict()
        # Partitions that were waited for in vain, and whether somebody waits for them now.
        self._late: dict[int, bool] = {}
        self._together: Together[UUID, _Answer] = Together(self._ask)

    async def at(
        self, company_id: UUID, partition: int, position: int, *, patience_seconds: float
    ) -> Sequence[Endpoint]:
        """Once the projection has folded as far as that. Raises NotFoldedYet when it does not in time.

        Of a partition that was waited for in vain only one event waits at a time: the others leave their
        places to those of other partitions, and come again.
        """
        is_late = partition in self._late
        deadline = monotonic() + (0 if is_late and self._late[partition] else patience_seconds)
        waits = is_late and not self._late[partition]
        if waits:
            self._late[partition] = True
        try:
            found = await self._folded(company_id, partition, position, deadline)
        except NotFoldedYet:
            self._late.setdefault(partition, False)
            raise
        finally:
            if waits:
                self._late[partition] = False
        self._late.pop(partition, None)
        return found

    async def _folded(
        self, company_id: UUID, partition: int, position: int, deadline: float
    ) -> Sequence[Endpoint]:
        while True:
            known = self._known.get(company_id)
            if known is None or known.position < position or monotonic() - known.at > _BELIEVED_SECONDS:
                asked_at = monotonic()
                checkpoints, endpoints = await self._together.do(company_id)
                known = _Known(asked_at, checkpoints.get(partition, 0), endpoints.get(company_id, ()))
                self._learn(company_id, known)
            if known.position >= position:
                return known.endpoints
            if monotonic() >= deadline:
                raise NotFoldedYet(f"partition {partition}, position {position}")
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def _learn(self, company_id: UUID, found: _Known) -> None:
        self._known[company_id] = found
        self._known.move_to_end(company_id)
        if len(self._known) > _COMPANIES_MAX:
            self._known.popitem(last=False)

    async def _ask(self, companies: Sequence[UUID]) -> _Answer:
        try:
            async with self._pool.connection() as connection:
                await connection.execute(_BEGIN)
                try:
                    cursor = await connection.execute(_CHECKPOINTS, (PROJECTION,))
                    checkpoints: dict[int, int] = dict(await cursor.fetchall())
                    return checkpoints, await endpoints_of(connection, companies)
                finally:
                    await connection.rollback()
        except psycopg.errors.UndefinedTable:
            return {}, {}  # no projector has been here yet


async def endpoints_of(connection: Connection, companies: Sequence[UUID]) -> dict[UUID, list[Endpoint]]:
    """The webhooks of some companies."""
    cursor = await connection.execute(_ENDPOINTS, (list(set(companies)),))
    found: dict[UUID, list[Endpoint]] = {}
    for company_id, *row in await cursor.fetchall():
        found.setdefault(company_id, []).append(endpoint_of(row))
    return found
