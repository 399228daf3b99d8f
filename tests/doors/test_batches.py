"""Many commands in one request: each with its own outcome, or all of them or none."""

from typing import Any
from uuid import uuid4

import pytest

from tests.doors.world import World, assert_problem

pytestmark = pytest.mark.asyncio


def product(sku: str, **more: Any) -> dict[str, Any]:
    body = {"sku": sku, "name": "Café"}
    return {"topic": "catalog.register_product", "idempotency_key": str(uuid4()), "body": body, **more}


def keyless(world: World, user: Any = None) -> dict[str, str]:
    return {name: value for name, value in world.headers(user).items() if name != "Idempotency-Key"}


async def test_each_command_has_its_own_outcome_in_order(world: World) -> None:
    commands = [product("A"), product("B") | {"body": {"sku": 1}}, product("A"), product("C")]
    answer = await world.post("/v1/commands", {"commands": commands}, headers=keyless(world))
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [201, 422, 409, 201]
    assert results[1]["problem"]["errors"][0]["pointer"] == "/commands/1/body/sku"
    assert results[2]["problem"]["code"] == "already-claimed"
    assert answer.headers["consistency-token"].startswith("ct1-")


async def test_later_commands_see_what_earlier_ones_did(world: World) -> None:
    chosen = "prd_01JDCE8Z0M9T3VX4K7QAWB2R5N"
    revise = {
        "topic": "catalog.revise_price",
        "target": chosen,
        "idempotency_key": "r",
        "body": {"price": "2"},
        "effective_date": "2026-11-20",
        "expected_version": 1,
    }
    commands = [product("A", target=chosen), revise]
    answer = await world.post("/v1/commands", {"commands": commands}, headers=keyless(world))
    assert answer.status_code == 200, answer.text
    assert [result["resource"]["version"] for result in answer.json()["results"]] == [1, 2]
    dates = {r.effective_date.isoformat() for r in world.store.log if r.topic == "catalog.price_revised"}
    assert dates == {"2026-11-20"}


@pytest.mark.parametrize("worse", [{"body": {"sku": 1}}, {"body": {"sku": "A", "name": "Outro"}}])
async def test_an_atomic_batch_is_all_or_nothing(world: World, worse: dict[str, Any]) -> None:
    count = len(world.store.log)
    commands = [product("A"), product("B") | worse]
    answer = await world.post("/v1/commands", {"atomic": True, "commands": commands}, headers=keyless(world))
    body = assert_problem(answer, answer.status_code)
    assert answer.status_code in (409, 422)
    assert body["results"][0]["problem"]["code"] == "not-attempted"
    assert len(world.store.log) == count

    fixed = {"atomic": True, "commands": [commands[0], product("B")]}
    assert (await world.post("/v1/commands", fixed, headers=keyless(world))).status_code == 200


async def test_a_batch_sent_twice_has_one_effect(world: World) -> None:
    batch = {"commands": [product(str(number)) for number in range(5)]}
    first = await world.post("/v1/commands", batch, headers=keyless(world))
    count = len(world.store.log)
    second = await world.post("/v1/commands", batch, headers=keyless(world))
    assert [result["replayed"] for result in second.json()["results"]] == [True] * 5
    assert [r["command_id"] for r in first.json()["results"]] == [
        r["command_id"] for r in second.json()["results"]
    ]
    assert len(world.store.log) == count


async def test_a_thousand_commands_fit(world: World) -> None:
    batch = {"commands": [product(str(number)) for number in range(1_000)]}
    answer = await world.post("/v1/commands", batch, headers=keyless(world))
    assert answer.status_code == 200, answer.text[:500]
    assert len(answer.json()["results"]) == 1_000


async def test_permissions_hold_for_every_command_of_a_batch(world: World) -> None:
    clerk = world.people.add("rui@example.com", (world.company_id, "clerk"))
    commands = [
        product("A"),
        {"topic": "parties.register_party", "idempotency_key": "p", "body": {"name": "Bia"}},
    ]
    answer = await world.post("/v1/commands", {"commands": commands}, headers=keyless(world, clerk))
    assert [result["status"] for result in answer.json()["results"]] == [403, 201]
    generic = await world.post(
        "/v1/commands/catalog.register_product", {"body": {}}, headers=world.headers(clerk)
    )
    assert_problem(generic, 403, "permission-denied")


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"commands": []}, 422, "/commands"),
        ({"commands": {}}, 422, "/commands"),
        ({"commands": [1] * 1_001}, 422, "/commands"),
        ({"atomic": 1, "commands": [1]}, 422, "/atomic"),
        ({"atomic": True, "commands": [1], "x": 1}, 422, "/x"),
        ({"topic": "no.such_thing"}, 422, "/topic"),
        ({"topic": 1}, 422, "/topic"),
        ({"body": {}}, 422, "/topic"),
        ({"topic": "sales.confirm_sale", "idempotency_key": "k"}, 422, "/target"),
        ({"topic": "sales.confirm_sale", "idempotency_key": "k", "target": "x"}, 422, "/target"),
        ({"topic": "sales.confirm_sale", "target": "x", "body": {}, "version": 1}, 422, "/version"),
        ({"topic": "sales.confirm_sale", "target": "x", "expected_version": -1}, 422, "/expected_version"),
    ],
)
async def test_what_is_no_batch_and_no_command(
    world: World, body: dict[str, Any], status: int, pointer: str
) -> None:
    problem = assert_problem(await world.post("/v1/commands", body, headers=keyless(world)), status)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_a_single_command_needs_a_key_too(world: World) -> None:
    item = {"topic": "parties.register_party", "body": {"name": "Bia"}}
    assert_problem(
        await world.post("/v1/commands", item, headers=keyless(world)), 400, "idempotency-key-required"
    )
    two = await world.post("/v1/commands", item | {"idempotency_key": "a"})
    assert_problem(two, 400, "malformed-header")
    batch = {"commands": [item, item | {"idempotency_key": "a b"}]}
    results = (await world.post("/v1/commands", batch, headers=keyless(world))).json()["results"]
    assert {result["problem"]["code"] for result in results} == {"idempotency-key-required"}


async def test_the_key_of_a_batch_serves_the_commands_without_one(world: World) -> None:
    commands = [{k: v for k, v in product(sku).items() if k != "idempotency_key"} for sku in ("A", "B")]
    headers = keyless(world) | {"Idempotency-Key": "import-7"}
    first = await world.post("/v1/commands", {"commands": commands}, headers=headers)
    count = len(world.store.log)
    again = await world.post("/v1/commands", {"commands": commands}, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert [r["command_id"] for r in first.json()["results"]] == [
        r["command_id"] for r in again.json()["results"]
    ]
    assert len(world.store.log) == count
