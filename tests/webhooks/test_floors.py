"""What was delivered long ago costs nobody anything, also while a backup holds an old snapshot."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from integration.webhooks import deliveries, floors
from integration.webhooks.courier import Courier
from integration.webhooks.deliveries import NO_FLOORS, New
from integration.webhooks.floors import Floors
from tests.webhooks.post_office import PostOffice
from tests.webhooks.receiver import receiving

pytestmark = pytest.mark.asyncio

DELIVERED = 400


def _new(webhook_id: UUID, office: PostOffice) -> New:
    return New(
        company_id=office.company_id,
        webhook_id=webhook_id,
        event_id=uuid4(),
        topic="sales.sale_confirmed",
        position=1,
        body=b"x" * 1_500,
        tries_max=8,
    )


async def _enqueue(office: PostOffice, new: list[New], **known: Any) -> None:
    async with office.pool.connection() as connection:
        await deliveries.enqueue(connection, new, now=office.now, **known)


async def _pages_of_a_look(office: PostOffice, known: Mapping[UUID, datetime]) -> int:
    """How many pages the database looks at."""
    asked = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {deliveries._TAKE}"
    values = {
        "owner": "me", "now": office.now, "limit": 64, "each_max": 4, "failing_from": 3, "failing": False,
        "lease_seconds": 60, "webhooks": list(known), "floors": list(known.values()),
    }  # fmt: skip
    async with office.pool.connection() as connection:
        ((told,),) = await (await connection.execute(asked.encode(), values)).fetchall()
    plan = told[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def test_a_look_does_not_step_over_all_that_was_delivered_since_a_backup_began(
    office: PostOffice,
) -> None:
    async with receiving() as receiver, office.pool.connection() as backup:
        webhook_id = await office.register(receiver)
        await backup.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_class LIMIT 1")
        await _enqueue(office, [_new(webhook_id, office) for _ in range(DELIVERED)])
        async with office.pool.connection() as connection:
            await connection.execute("UPDATE integration.webhook_deliveries SET state = 'delivered'")
        office.now += timedelta(minutes=1)
        found = await Floors(office.pool, lambda: office.now).now()
        assert await _pages_of_a_look(office, NO_FLOORS) > DELIVERED / 5
        assert await _pages_of_a_look(office, found) < 10
        await backup.rollback()


async def test_a_floor_is_below_the_first_that_waits(office: PostOffice) -> None:
    known = Floors(office.pool, lambda: office.now)
    waiting, empty = uuid4(), uuid4()
    await _enqueue(office, [_new(waiting, office), _new(empty, office)])
    await office.rows("DELETE FROM integration.webhook_deliveries WHERE webhook_id = %s RETURNING 1", empty)
    began, office.now = office.now, office.now + timedelta(hours=1)
    found = await known.now()
    assert found[waiting] == began - floors._BEFORE
    assert found[empty] == office.now - floors._LATE


async def test_what_is_committed_too_late_for_its_floor_is_found_nevertheless(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as receiver:
        webhook_id = await office.register(receiver)
        await _enqueue(office, [_new(webhook_id, office)])
        courier = office.courier()
        began = office.now
        office.now += timedelta(hours=1)
        await office.deliver(courier)
        office.now += timedelta(hours=1)
        monkeypatch.setattr(floors, "_RAISE_SECONDS", 0.0)
        await _looks(courier)
        office.now, late = began, office.now
        await _enqueue(office, [_new(webhook_id, office)])
        office.now = late
        assert await office.deliver(courier) == 0
        courier._floors._everything_at = 0.0
        assert await office.deliver(courier) == 1


async def _looks(courier: Courier) -> None:
    courier._floors._raise_at = 0.0
    async with asyncio.TaskGroup() as tasks:
        assert await courier.look(tasks) == 0


async def test_what_waits_is_counted_only_when_there_may_be_no_room(office: PostOffice) -> None:
    webhook_id, rooms = uuid4(), dict[UUID, int]()
    await _enqueue(office, [_new(webhook_id, office)], pending_max=4, rooms=rooms)
    assert rooms == {webhook_id: 3}
    await office.rows("DELETE FROM integration.webhook_deliveries RETURNING 1")
    # Not counted again, so it does not know that all four places are free.
    await _enqueue(office, [_new(webhook_id, office) for _ in range(2)], pending_max=4, rooms=rooms)
    assert rooms == {webhook_id: 1}
    await _enqueue(office, [_new(webhook_id, office) for _ in range(3)], pending_max=4, rooms=rooms)
    assert rooms == {webhook_id: 0}
    states = [state for (state,) in await office.rows("SELECT state FROM integration.webhook_deliveries")]
    assert sorted(states) == ["dropped", "pending", "pending", "pending", "pending"]
