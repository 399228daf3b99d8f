"""How many webhooks a company may have, as a client is told."""

import pytest

from tests.doors.world import World, assert_problem
from write_model.webhooks import places

pytestmark = pytest.mark.asyncio

BODY = {"url": "https://erp.example.com/ganchos", "topics": ["sales.*"]}


async def test_one_too_many_is_a_problem_that_names_the_limit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "PLACES_MAX", 1)
    first = await world.post("/v1/webhooks", BODY)
    assert first.status_code == 201
    refused = await world.post("/v1/webhooks", BODY)
    assert_problem(refused, 422, "too-many-webhooks")
    assert refused.json()["params"] == {"max": "1"}
    await world.post(f"/v1/webhooks/{first.json()['resource']['id']}/remove", {})
    assert (await world.post("/v1/webhooks", BODY)).status_code == 201
