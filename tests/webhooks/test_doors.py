"""The log of deliveries over HTTP, and telling something once more."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from integration.webhooks import deliveries
from integration.webhooks.deliveries import Attempt, New, Ruling
from projections.connections import connect
from runtime import relay_process
from runtime.settings import Settings
from tests.doors.house import House, move_in, open_house
from tests.doors.world import assert_problem
from tests.webhooks.receiver import answering, receiving
from write_model.values.identifiers import decode, encode

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def building(module_database_url: str, module_redis_url: str) -> AsyncIterator[House]:
    """Everything started once."""
    async with open_house(module_database_url, module_redis_url) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def house(building: House) -> House:
    return await move_in(building)


async def test_deliveries_are_listed_shown_and_asked_for_again(
    house: House, module_database_url: str
) -> None:
    made = await house.post("/v1/webhooks", {"url": "https://erp.example.com/ganchos", "topics": ["sales.*"]})
    assert made.status_code == 201, made.text
    assert made.json()["secret"].startswith("whsec_")
    webhook = made.json()["resource"]["id"]
    shown = await house.get(f"/v1/webhooks/{webhook}", Consistency_Token=made.headers["consistency-token"])
    assert shown.status_code == 200
    assert (shown.json()["status"], shown.json()["topics"]) == ("enabled", ["sales.*"])
    assert "whsec" not in shown.text

    moment = datetime.fromisoformat("2026-11-23T15:00:00+00:00")
    ids = [
        await _delivered(module_database_url, house, webhook, moment + timedelta(minutes=n)) for n in range(3)
    ]
    await _delivered(module_database_url, house, webhook, moment, company=house.other_company_id)
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


async def test_nothing_is_recorded_of_a_redelivery_that_cannot_be(
    house: House, module_database_url: str
) -> None:
    """By whatever door: the command's own, the generic ones, or many at once."""
    hooks = [
        (await house.post("/v1/webhooks", {"url": f"https://erp.example.com/{n}"})).json()["resource"]["id"]
        for n in range(2)
    ]
    moment = datetime.fromisoformat("2026-11-23T15:00:00+00:00")
    known = await _delivered(module_database_url, house, hooks[0], moment)
    elsewhere = await _delivered(module_database_url, house, hooks[0], moment, company=house.other_company_id)

    def asked(webhook: str, delivery: str) -> dict[str, Any]:
        return {"topic": "webhooks.redeliver", "target": webhook, "body": {"delivery_id": delivery}}

    wrong = [(hooks[0], encode("whd", uuid4())), (hooks[1], known), (hooks[0], elsewhere)]
    for webhook, delivery in wrong:
        own = f"/v1/webhooks/{webhook}/redeliver"
        assert_problem(await house.post(own, {"delivery_id": delivery}), 404, "not-found")
        assert_problem(await house.post(f"{own}?dry_run=true", {"delivery_id": delivery}), 404, "not-found")
        generic = {"target": webhook, "body": {"delivery_id": delivery}}
        assert_problem(await house.post("/v1/commands/webhooks.redeliver", generic), 404, "not-found")
        assert_problem(await house.post("/v1/commands", asked(webhook, delivery)), 404, "not-found")
    mixed = [asked(*wrong[0]), asked(hooks[0], known), *(asked(*each) for each in wrong[1:])]
    many = await house.post("/v1/commands", {"commands": mixed})
    assert [result["status"] for result in many.json()["results"]] == [404, 200, 404, 404]
    assert_problem(await house.post("/v1/commands", {"atomic": True, "commands": mixed}), 404, "not-found")


async def test_a_repeated_request_is_answered_also_when_the_delivery_was_forgotten(
    house: House, module_database_url: str
) -> None:
    webhook = (await house.post("/v1/webhooks", {"url": "https://erp.example.com/"})).json()["resource"]["id"]
    moment = datetime.fromisoformat("2026-11-23T15:00:00+00:00")
    delivery = {"delivery_id": await _delivered(module_database_url, house, webhook, moment)}
    asked = f"/v1/webhooks/{webhook}/redeliver"
    first = await house.post(asked, delivery, Idempotency_Key="again")
    assert first.status_code == 200, first.text
    async with await connect(module_database_url) as connection:
        await deliveries.forget(connection, moment + timedelta(seconds=1))
    repeated = await house.post(asked, delivery, Idempotency_Key="again")
    assert repeated.status_code == 200, repeated.text
    assert repeated.json()["command_id"] == first.json()["command_id"]
    assert_problem(await house.post(asked, delivery), 404, "not-found")


async def test_from_a_command_to_a_partner_and_to_being_disabled(
    house: House,
    module_database_url: str,
    module_redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Doors, projector, relay, consumer and courier, as they run in production."""
    monkeypatch.setattr(house.app.state, "services", replace(house.app.state.services, loopback_allowed=True))
    environment = {
        "DATABASE_URL": module_database_url,
        "REDIS_URL": module_redis_url,
        "CCONTROL_STATE": str(tmp_path),
        "CCONTROL_WEBHOOKS_LOOPBACK": "1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AMQP_URL", raising=False)
    telling = asyncio.create_task(relay_process._serve(Settings(), relays=True, consumes=True))
    async with receiving(secure=False) as receiver:
        body = {"url": f"http://127.0.0.1:{receiver.port}/ganchos", "topics": ["companies.*"]}
        webhook = (await house.post("/v1/webhooks", body)).json()["resource"]["id"]
        tested = await house.post(f"/v1/webhooks/{webhook}/test", {})
        await receiver.until(1)
        told = json.loads(receiver.received[0].body)
        assert told["data"]["id"] == tested.json()["events"][0]["id"]
        receiver.respond = answering(410)
        await house.post(f"/v1/webhooks/{webhook}/test", {})
        async with asyncio.timeout(30):
            while (row := (await house.get(f"/v1/webhooks/{webhook}")).json())["status"] == "enabled":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (row["status"], row["status_set_by"]) == ("disabled", "system")
        assert row["status_reason"].startswith("410")
    telling.cancel()
    with suppress(asyncio.CancelledError):
        await telling


async def _delivered(
    database_url: str, house: House, webhook: str, moment: datetime, company: str | None = None
) -> str:
    """A delivery that failed; returns its id."""
    webhook_id, event_id = decode("whk", webhook), uuid4()
    company_id = decode("cmp", company or house.company_id)
    common: dict[str, Any] = {"company_id": company_id, "webhook_id": webhook_id, "event_id": event_id}
    async with await connect(database_url) as connection:
        new = New(**common, topic="sales.sale_confirmed", position=7, body=b"{}", tries_max=1)
        await deliveries.enqueue(connection, [new], now=moment)
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
