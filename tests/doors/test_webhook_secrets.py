"""The secret of a webhook: shown by the command that made it, for a while, and to nobody else."""

from datetime import datetime, timedelta

import pytest

from tests.doors.world import NOW, World, assert_problem

pytestmark = pytest.mark.asyncio

BODY = {"url": "https://erp.example.com/ganchos", "topics": ["sales.*"]}


def recorded(world: World, *, at: datetime) -> None:
    """The store in memory has one moment for everything: this is when it was."""
    for key, record in world.store.records.items():
        world.store.records[key] = record._replace(recorded_at=at)


async def test_it_is_shown_and_shown_again_to_who_lost_the_answer(world: World) -> None:
    headers = world.headers()
    made = await world.post("/v1/webhooks", BODY, headers=headers)
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    recorded(world, at=NOW)
    again = await world.post("/v1/webhooks", BODY, headers=headers)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert again.json() == made.json()


async def test_it_stands_in_nothing_that_is_stored(world: World) -> None:
    made = await world.post("/v1/webhooks", BODY)
    secret = made.json()["secret"].removeprefix("whsec_")
    stored = [record.answer for record in world.store.records.values()] + [repr(r) for r in world.store.log]
    assert all(secret not in text for text in stored)
    asked = await world.get(f"/v1/commands/{made.json()['command_id']}")
    assert asked.status_code == 200
    assert "secret" not in asked.json()


async def test_after_a_day_it_is_not_shown_any_more(world: World) -> None:
    headers = world.headers()
    await world.post("/v1/webhooks", BODY, headers=headers)
    recorded(world, at=NOW - timedelta(hours=25))
    again = await world.post("/v1/webhooks", BODY, headers=headers)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert "secret" not in again.json()


async def test_a_rotation_shows_another_one_and_a_rehearsal_none(world: World) -> None:
    made = (await world.post("/v1/webhooks", BODY)).json()
    path = f"/v1/webhooks/{made['resource']['id']}/rotate-secret"
    rehearsed = await world.post(f"{path}?dry_run=true", {})
    assert rehearsed.status_code == 200
    assert "secret" not in rehearsed.json()
    rotated = (await world.post(path, {})).json()
    assert rotated["secret"] != made["secret"]
    tested = await world.post(f"/v1/webhooks/{made['resource']['id']}/test", {})
    assert "secret" not in tested.json()


async def test_in_a_batch_it_is_shown_once(world: World) -> None:
    item = {"topic": "webhooks.register_webhook", "body": BODY}
    headers = world.headers()
    first = await world.post("/v1/commands", {"commands": [item]}, headers=headers)
    again = await world.post("/v1/commands", {"commands": [item]}, headers=headers)
    assert first.status_code == 200, first.text
    assert first.json()["results"][0]["secret"].startswith("whsec_")
    assert "secret" not in again.json()["results"][0]


async def test_who_may_do_it(world: World) -> None:
    for role, status in (("integrator", 201), ("admin", 201), ("clerk", 403), ("auditor", 403)):
        user = world.people.add(f"{role}@example.com", (world.company_id, role))
        answer = await world.post("/v1/webhooks", BODY, headers=world.headers(user))
        assert answer.status_code == status, role


async def test_bad_addresses_and_filters_are_refused_by_field(world: World) -> None:
    bad = [("url", "http://127.0.0.1/"), ("url", "https://user@erp.example.com/"), ("topics", ["nada.*"])]
    for field, value in bad:
        answer = await world.post("/v1/webhooks", {**BODY, field: value})
        body = assert_problem(answer, 422)
        assert body["errors"][0]["pointer"] == f"/{field}"
