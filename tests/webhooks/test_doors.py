"""The log of deliveries over HTTP, and telling something once more."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from integration.bookkeeping import ensure
from integration.webhooks import deliveries
from integration.webhooks.deliveries import Attempt, Ruling
from projections.connections import connect
from tests.doors.house import House, move_in, open_house
from tests.doors.world import assert_problem
from write_model.values.identifiers import decode, encode

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def house(database_url: str, redis_url: str) -> AsyncIterator[House]:
    await ensure(database_url)
    async with open_house(database_url, redis_url) as opened:
        yield await move_in(opened)


async def test_deliveries_are_listed_shown_and_asked_for_again(house: House, database_url: str) -> None:
    made = await house.post("/v1/webhooks", {"url": "https://erp.example.com/ganchos", "topics": ["sales.*"]})
    assert made.status_code == 201, made.text
    assert made.json()["secret"].startswith("whsec_")
    webhook = made.json()["resource"]["id"]
    shown = await house.get(f"/v1/webhooks/{webhook}", Consistency_Token=made.headers["consistency-token"])
    assert shown.status_code == 200
    assert (shown.json()["status"], shown.json()["topics"]) == ("enabled", ["sales.*"])
    assert "whsec" not in shown.text

    moment = datetime.fromisoformat("2026-11-23T15:00:00+00:00")
    ids = [await _delivered(database_url, house, webhook, moment + timedelta(minutes=n)) for n in range(3)]
    await _delivered(database_url, house, webhook, moment, company=house.other_company_id)
    first = (await house.get("/v1/webhook-deliveries?limit=2")).json()
    rest = (await house.get(f"/v1/webhook-deliveries?limit=2&cursor={first['page']['next_cursor']}")).json()
    assert [row["id"] for row in first["data"] + rest["data"]] == ids[::-1]
    assert not rest["page"]["has_more"]
    assert len((await house.get(f"/v1/webhook-deliveries?webhook_id={webhook}")).json()["data"]) == 3
    for nothing in (f"webhook_id={encode('whk', uuid4())}", "status=pending,dropped", "topic=x.y"):
        assert (await house.get(f"/v1/webhook-deliveries?{nothing}")).json()["data"] == []
    assert_problem(await house.get("/v1/webhook-deliveries?status=lost"), 400, "filter-invalid")
    assert_problem(await house.get("/v1/webhook-deliveries?nonsense=1"), 400, "filter-unknown")
    (attempt,) = (await house.get(f"/v1/webhook-deliveries/{ids[0]}")).json()["log"]
    assert (attempt["number"], attempt["status"], attempt["snippet"]) == (1, 500, "<b>no</b>")

    again = await house.post(f"/v1/webhook-deliveries/{ids[0]}/redeliver", {})
    assert again.status_code == 200, again.text
    assert [event["type"] for event in again.json()["events"]] == ["webhooks.redelivery_requested"]
    assert_problem(await house.post(f"/v1/webhook-deliveries/{encode('whd', uuid4())}/redeliver", {}), 404)
    assert_problem(await house.post("/v1/webhook-deliveries/nonsense/redeliver", {}), 404)
    assert_problem(await house.post(f"/v1/webhook-deliveries/{ids[0]}/redeliver", {"a": 1}), 400)
    elsewhere = {"Ccontrol_Company": house.other_company_id}
    assert_problem(await house.post(f"/v1/webhook-deliveries/{ids[0]}/redeliver", {}, **elsewhere), 404)
    assert_problem(await house.get(f"/v1/webhook-deliveries/{ids[0]}", **elsewhere), 404)
    assert len((await house.get("/v1/webhook-deliveries", **elsewhere)).json()["data"]) == 1


async def _delivered(
    database_url: str, house: House, webhook: str, moment: datetime, company: str | None = None
) -> str:
    """A delivery that failed; returns its id."""
    webhook_id, event_id = decode("whk", webhook), uuid4()
    company_id = decode("cmp", company or house.company_id)
    common: dict[str, Any] = {"company_id": company_id, "webhook_id": webhook_id, "event_id": event_id}
    async with await connect(database_url) as connection:
        await deliveries.enqueue(
            connection,
            **common,
            topic="sales.sale_confirmed",
            position=7,
            body=b"{}",
            tries_max=1,
            now=moment,
        )
        (taken,) = await deliveries.take(
            connection,
            owner="test",
            now=moment,
            limit=1,
            each_max=4,
            failing_from=3,
            failing=False,
            lease_seconds=60,
        )
        attempt = Attempt(started_at=moment, milliseconds=3, status=500, error=None, snippet="<b>no</b>")
        failed = Ruling(state="failed", reason="status-500")
        assert await deliveries.settle(connection, taken, failed, attempt, owner="test", now=moment)
    await asyncio.sleep(0)
    return encode("whd", taken.delivery_id)
