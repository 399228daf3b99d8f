"""Takes what is due, calls, and writes down what came of it.

2xx is delivered. 410 is gone: the webhook is disabled. Anything else, a redirect too, is tried again: eight
times within a day. A webhook of which nothing has come through for three days and 16 attempts is disabled.

No webhook holds up another: of each only a few are on the way at a time, of one that keeps failing only one,
and those that fail never have more than half of the places.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, perf_counter
from typing import Final
from uuid import UUID

import structlog
from psycopg_pool import AsyncConnectionPool

from integration.together import Together
from integration.webhooks import deliveries, metrics
from integration.webhooks.calling import TOTAL_SECONDS, Answer, Caller, CallFailed
from integration.webhooks.deliveries import KEPT, Attempt, Ruling, Taken
from integration.webhooks.floors import Floors
from integration.webhooks.listeners import endpoints_of
from integration.webhooks.retries import next_try, retry_after
from integration.webhooks.signatures import signature
from projections.backoff import Backoff
from projections.connections import Connection, is_transient, stop_if_cancelled
from read_model.webhooks.endpoints import Endpoint
from write_model.values.identifiers import encode
from write_model.values.invalid import Invalid
from write_model.values.web_address import WebAddress
from write_model.webhooks.events import TestRequested

SecretOf = Callable[[UUID, UUID, UUID], bytes]
"""The secret of a company's webhook with this id."""

Disable = Callable[[UUID, UUID, str], Awaitable[None]]
"""Disable a company's webhook for this reason, unless it is already; raises only what passes."""

GONE: Final = "410 Gone: it asked not to be told any more"
FAILING: Final = "nothing has come through for three days"

_PLACES: Final = 64
_EACH_MAX: Final = 4
_FAILING_FROM: Final = 3
# Tries that nobody lived to write down, beyond those there are.
_CRASHES_MAX: Final = 3
_GIVE_UP_AFTER: Final = timedelta(days=3)
_GIVE_UP_FAILURES: Final = 16
# Longer than a call with everything around it may take.
LEASE_SECONDS: Final = TOTAL_SECONDS + 48
_IDLE_SECONDS: Final = 0.5
_GATHER_SECONDS: Final = 0.01
# So many times as long as a look takes.
_REST: Final = 2.0
_HOUSEKEEPING_SECONDS: Final = 5.0
_SNIPPET_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a courier is given."""

    pool: AsyncConnectionPool[Connection]
    caller: Caller
    secret_of: SecretOf
    disable: Disable
    clock: Callable[[], datetime]
    jitter: Callable[[], float]
    owner: str
    loopback_allowed: bool = False
    lease_seconds: float = LEASE_SECONDS
    places: int = _PLACES


class Courier:
    """One per process. `ring` says that something may be due."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._with = surroundings
        self._bell = asyncio.Event()
        self._busy: set[asyncio.Task[None]] = set()
        self._failing: set[asyncio.Task[None]] = set()
        self._outcomes: Counter[str] = Counter()
        self._looked_at_failing = 0.0
        self._floors = Floors(surroundings.pool, surroundings.clock)
        self._together: Together[UUID, Mapping[UUID, Endpoint]] = Together(self._read)

    def ring(self) -> None:
        """Look now."""
        self._bell.set()

    async def run(self) -> None:
        """Until cancelled; waits for a database that is down."""
        backoff = Backoff(longest_seconds=10)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_house())
            while True:
                stop_if_cancelled()
                try:
                    self._bell.clear()
                    begun = monotonic()
                    taken = await self.look(tasks, failing=self._is_time_for_failing())
                    backoff.reset()
                    # More is done, or due, after a moment, and each look costs the same.
                    await asyncio.sleep(max(_GATHER_SECONDS, _REST * (monotonic() - begun)))
                    if not taken:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(_IDLE_SECONDS):
                                await self._bell.wait()
                except Exception as error:
                    stop_if_cancelled()
                    if not is_transient(error):
                        raise
                    _log.warning("courier_waits", error=type(error).__name__)
                    await asyncio.sleep(backoff.failed())

    def _is_time_for_failing(self) -> bool:
        """Those that fail are tried again after seconds, not at once."""
        if monotonic() - self._looked_at_failing < _IDLE_SECONDS:
            return False
        self._looked_at_failing = monotonic()
        return True

    async def look(self, tasks: asyncio.TaskGroup, *, failing: bool = True) -> int:
        """Take what is due and there is a place for, or only of those that do not fail; returns how many."""
        places, floors = self._with.places, await self._floors.now()
        healthy = await self._take(places - len(self._busy), floors, failing=False)
        self._start(tasks, healthy, self._busy)
        if not failing:
            return len(healthy)
        room = min(places // 2 - len(self._failing), places - len(self._busy))
        ill = await self._take(room, floors, failing=True)
        self._start(tasks, ill, self._busy, self._failing)
        return len(healthy) + len(ill)

    async def _take(self, room: int, floors: Mapping[UUID, datetime], *, failing: bool) -> list[Taken]:
        if room <= 0:
            return []
        async with self._with.pool.connection() as connection:
            return await deliveries.take(
                connection,
                owner=self._with.owner,
                now=self._with.clock(),
                limit=room,
                each_max=_EACH_MAX,
                failing_from=_FAILING_FROM,
                failing=failing,
                lease_seconds=self._with.lease_seconds,
                floors=floors,
            )

    def _start(self, tasks: asyncio.TaskGroup, taken: list[Taken], *places: set[asyncio.Task[None]]) -> None:
        for each in taken:
            task = tasks.create_task(self._deliver(each))
            for place in places:
                place.add(task)
                task.add_done_callback(place.discard)
            task.add_done_callback(lambda _: self._bell.set())

    async def _deliver(self, taken: Taken) -> None:
        """One attempt; whatever passes is left to the end of the lease."""
        try:
            await self._attempt(taken)
        except Exception as error:  # noqa: BLE001  # see below
            stop_if_cancelled()
            if not is_transient(error):
                # Our own defect: it must not take the others down, and the lease makes it come again.
                _log.exception("delivery_crashed", delivery_id=str(taken.delivery_id))
            else:
                _log.warning("delivery_waits", error=type(error).__name__)

    async def _attempt(self, taken: Taken) -> None:
        here = self._with
        if taken.tries > taken.tries_max + _CRASHES_MAX:
            await self._settle(taken, Ruling(state="failed", reason="courier-lost"), None, "failed")
            return
        found = (await self._together.do(taken.company_id)).get(taken.webhook_id)
        if found is None or not (found.is_enabled or taken.topic == TestRequested.topic):
            reason = "webhook-removed" if found is None else "webhook-disabled"
            await self._settle(taken, Ruling(state="dropped", reason=reason), None, "dropped")
            return
        started_at, begun = here.clock(), perf_counter()
        answer, error = await self._call(taken, found, started_at)
        seconds = perf_counter() - begun
        metrics.ATTEMPT_SECONDS.observe(seconds)
        attempt = Attempt(
            started_at=started_at,
            milliseconds=round(seconds * 1_000),
            status=answer.status if answer else None,
            error=error,
            snippet=_shown(answer.snippet) if answer else "",
        )
        await self._judge(taken, answer, attempt)

    async def _read(self, companies: Sequence[UUID]) -> Mapping[UUID, Endpoint]:
        """All webhooks of these, as they are now."""
        async with self._with.pool.connection() as connection:
            found = await endpoints_of(connection, companies)
        return {each.id: each for some in found.values() for each in some}

    async def _call(self, taken: Taken, found: Endpoint, now: datetime) -> tuple[Answer | None, str | None]:
        here = self._with
        secrets = [here.secret_of(taken.company_id, taken.webhook_id, each) for each in found.secret_ids(now)]
        message_id, timestamp = encode("evt", taken.event_id), int(now.timestamp())
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(secrets, message_id, timestamp, taken.body),
        }
        try:
            address = WebAddress.parse(found.url, loopback_allowed=here.loopback_allowed)
            return await here.caller.post(address, headers, taken.body), None
        except Invalid:
            return None, "address-refused"
        except CallFailed as failure:
            return None, failure.kind

    async def _judge(self, taken: Taken, answer: Answer | None, attempt: Attempt) -> None:
        here = self._with
        now = here.clock()
        if answer is not None and 200 <= answer.status < 300:
            await self._settle(taken, Ruling(state="delivered"), attempt, "delivered")
            return
        reason = attempt.error or f"status-{attempt.status}"
        if answer is not None and answer.status == 410:
            # First, so that a crash between the two cannot forget it.
            await here.disable(taken.company_id, taken.webhook_id, GONE)
            await self._settle(taken, Ruling(state="failed", reason=reason), attempt, "gone")
            return
        asked = retry_after(answer.retry_after, now) if answer is not None else None
        due_at = None
        if taken.tries < taken.tries_max:
            due_at = next_try(now, taken.tries, asked=asked, jitter=here.jitter)
        ruling = Ruling(state="failed" if due_at is None else "pending", reason=reason, due_at=due_at)
        if await self._settle(taken, ruling, attempt, "failed" if due_at is None else "retried"):
            await self._give_up_on(taken, now)

    async def _give_up_on(self, taken: Taken, now: datetime) -> None:
        """Disable who has not answered well for days."""
        if taken.topic == TestRequested.topic:
            return
        async with self._with.pool.connection() as connection:
            health = await deliveries.note_failure(connection, taken.company_id, taken.webhook_id, now)
        if health.failures >= _GIVE_UP_FAILURES and now - health.failing_since >= _GIVE_UP_AFTER:
            await self._with.disable(taken.company_id, taken.webhook_id, FAILING)

    async def _settle(self, taken: Taken, ruling: Ruling, attempt: Attempt | None, outcome: str) -> bool:
        async with self._with.pool.connection() as connection:
            settled = await deliveries.settle(
                connection, taken, ruling, attempt, owner=self._with.owner, now=self._with.clock()
            )
        if settled:
            self._outcomes[outcome] += 1
        return settled

    async def _keep_house(self) -> None:
        """Count what came of it, and forget what is old."""
        while True:
            try:
                async with self._with.pool.connection() as connection:
                    counted = self._outcomes.copy()
                    async with connection.transaction():
                        await deliveries.count(connection, counted)
                    self._outcomes -= counted
                    await deliveries.forget(connection, self._with.clock() - KEPT)
            except Exception as error:
                stop_if_cancelled()
                if not is_transient(error):
                    raise
            stop_if_cancelled()
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)


def _shown(snippet: bytes) -> str:
    """A little text that cannot harm whoever looks at it, or the column it is kept in."""
    text = snippet.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)[:_SNIPPET_CHARACTERS]


_log = structlog.get_logger(__name__)
