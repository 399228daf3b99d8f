"""Through the doors of the whole house: what was just done is seen, and nothing of anybody else."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterator, MutableMapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from api.freshness import token
from api.queries import Reads, query_fields
from api.routes import gates_of, routes_of
from tests.doors.house import House, move_in, open_house
from tests.doors.world import assert_problem
from write_model.values.identifiers import decode, encode

# Of `open_engine`.
_CONNECTIONS = 8

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def building(module_database_url: str, module_redis_url: str) -> AsyncIterator[House]:
    """Everything started."""
    async with open_house(module_database_url, module_redis_url) as house:
        yield house


BAD_VALUES = (
    "",
    " ",
    "0",
    "-1",
    "1e400",
    "NaN",
    "9" * 40,
    "99999999999999.99",
    "%00",
    "a%00b",
    "%ff",
    "%ED%A0%80",
    "%F0%9F%92%A9",
    "'%20OR%201=1--",
    "%25%25%25",
    "\\",
    "x" * 4_000,
    "2026-11-23",
    "10000-01-01",
    "0001-01-01",
    "2026-02-30",
    "2026-13",
    "true",
    "null",
    "{}",
    "[]",
    "a,b,,c",
    "prd_01JDCE8Z0M9T3VX4K7QAWB2R5N",
    "..%2f..%2fetc%2fpasswd",
    "%E2%80%AE",
)


@pytest_asyncio.fixture(loop_scope="module")
async def house(building: House) -> House:
    """With an owner and companies that are new for each test."""
    return await move_in(building)


def product(sku: str) -> dict[str, str]:
    return {"sku": sku, "name": "Café", "price": "19.90"}


async def test_what_was_just_done_is_seen(house: House) -> None:
    for number in range(10):
        done = await house.post("/v1/products", product(f"P{number}"))
        seen = await house.get(done.headers["location"], Consistency_Token=done.headers["consistency-token"])
        assert seen.status_code == 200, seen.text
        assert seen.json()["sku"] == f"P{number}"
        assert seen.headers["consistency"] == "fresh"
        assert seen.headers["consistency-token"] >= done.headers["consistency-token"]
        position = int(seen.headers["projection-position"].partition("=")[2])
        assert position >= done.json()["events"][-1]["position"]


async def test_a_stopped_projector_makes_a_reader_wait_then_say_so(house: House) -> None:
    await house.projector.stop()
    done = await house.post("/v1/products", product("A"))
    asked = {"Consistency_Token": done.headers["consistency-token"], "Prefer": "wait=0"}
    behind = await house.get("/v1/products", **asked)
    body = assert_problem(behind, 503, "projection-behind")
    assert behind.headers["retry-after"] == "1"
    assert behind.headers["preference-applied"] == "wait=0"
    assert body["wanted"] == done.json()["events"][-1]["position"] > body["have"]
    assert body["projection"] == "catalog_products"

    eager = await house.get("/v1/products", Prefer="wait=99999")
    assert eager.headers["preference-applied"] == "wait=10"
    asked["Prefer"] = "wait=0, handling=lenient"
    stale = await house.get("/v1/products", **asked)
    assert (stale.status_code, stale.headers["consistency"]) == (200, "stale")
    assert stale.headers["preference-applied"] == "wait=0, handling=lenient"
    # What the reader has seen elsewhere is not forgotten.
    assert stale.headers["consistency-token"] == asked["Consistency_Token"]

    house.projector.start()
    fresh = await house.get("/v1/products", **asked | {"Prefer": "wait=10"})
    assert (fresh.status_code, [row["sku"] for row in fresh.json()["data"]]) == (200, ["A"])
    by_url = await house.get(f"/v1/products?min_position={body['wanted']}")
    assert by_url.status_code == 200


async def test_tokens_are_read_strictly(house: House) -> None:
    done = await house.post("/v1/products", product("A"))
    good = done.headers["consistency-token"]
    services = house.app.state.services
    other = token(1, 1, uuid4(), services.door_secret)
    forged = good[:-1] + ("0" if good[-1] != "0" else "1")
    for bad in (
        "",
        "x",
        "CT1" + good[3:],
        forged,
        other,
        good + "0",
        "ct1-0000001-0000000000000-" + "0" * 16,
    ):
        assert_problem(await house.get("/v1/products", Consistency_Token=bad), 400, "token-invalid")
    company_id = decode("cmp", house.company_id)
    # Of the epoch after this one: another process has heard of a restore, and this one is going to.
    said = {(0, 1): (409, "store-epoch-changed"), (1, 10**9): (409, "store-epoch-changed")}
    for (epoch, position), problem in (said | {(2, 1): (503, "dependency-down")}).items():
        beyond = token(epoch, position, company_id, services.door_secret)
        answer = await house.get("/v1/products", Consistency_Token=beyond)
        assert_problem(answer, *problem)
    # Also where nothing has to be waited for: the token of that answer would be refused everywhere.
    for path in ("/v1/products", "/v1/ops/dead-letters", "/v1/webhook-deliveries"):
        answer = await house.get(f"{path}?min_position={10**9}")
        assert_problem(answer, 409, "store-epoch-changed")
    for bad in ("-1", "x", "", "9" * 30, "1.5", "٣"):
        assert_problem(await house.get(f"/v1/products?min_position={bad}"), 400, "filter-invalid")


async def test_lists_are_read_page_by_page(house: House) -> None:
    made = [await house.post("/v1/products", product(f"P{number}")) for number in range(5)]
    seen = {"Consistency_Token": made[-1].headers["consistency-token"]}
    skus, path = [], "/v1/products?limit=2"
    while path:
        page = (await house.get(path, **seen)).json()
        skus += [row["sku"] for row in page["data"]]
        cursor = page["page"]["next_cursor"]
        assert page["page"]["has_more"] == (cursor is not None)
        path = f"/v1/products?limit=2&cursor={cursor}" if cursor else ""
    assert skus == [f"P{number}" for number in range(5)]

    cursor = (await house.get("/v1/products?limit=2", **seen)).json()["page"]["next_cursor"]
    for other in (
        f"category=X&cursor={cursor}",
        f"cursor={cursor}x",
        "cursor=",
        "cursor=%00",
        f"cursor={'A' * 3_000}",
    ):
        assert_problem(await house.get(f"/v1/products?{other}"), 400, "cursor-invalid")
    elsewhere = await house.get(f"/v1/products?cursor={cursor}", Ccontrol_Company=house.other_company_id)
    assert_problem(elsewhere, 400, "cursor-invalid")
    for limit in ("-1", "0", "x", "1.5", "", "%D9%A3"):
        assert_problem(await house.get(f"/v1/products?limit={limit}"), 400, "limit-invalid")
    assert (await house.get("/v1/products?limit=1000")).json()["page"]["limit"] == 200
    assert_problem(await house.get(f"/v1/products?limit={10**20}"), 400, "limit-invalid")


async def test_parameters_nobody_declared_are_refused(house: House) -> None:
    assert_problem(await house.get("/v1/products?colour=red"), 400, "filter-unknown")
    assert_problem(await house.get("/v1/products?limit=1&limit=2"), 400, "filter-repeated")
    assert_problem(await house.get("/v1/products?as_of=2026-11-01"), 400, "as-of-not-supported")
    assert_problem(await house.get("/v1/products", Accept="text/html"), 406, "not-acceptable")


async def test_a_company_sees_only_its_own(house: House) -> None:
    done = await house.post("/v1/products", product("A"), Ccontrol_Company=house.other_company_id)
    seen = {
        "Consistency_Token": done.headers["consistency-token"],
        "Ccontrol_Company": house.other_company_id,
    }
    assert (await house.get(done.headers["location"], **seen)).status_code == 200
    assert_problem(await house.get(done.headers["location"]), 404, "not-found")
    assert_problem(await house.get(f"/v1/commands/{done.json()['command_id']}"), 404, "not-found")


async def test_a_company_made_twice_with_one_key_is_one_company(house: House) -> None:
    headers = house.headers()
    bodies = [
        (await house.client.post("/v1/companies", json={"legal_name": "Nova"}, headers=headers)).json()
        for _ in range(2)
    ]
    assert bodies[0] == bodies[1]
    me = (await house.get("/v1/me")).json()
    assert sorted(company["name"] for company in me["companies"]) == ["Boa Vista Ltda.", "Loja", "Nova"]
    chosen = {"legal_name": "Nova", "company_id": house.other_company_id}
    assert_problem(await house.post("/v1/companies", chosen), 422, "unknown-field")


async def test_twenty_at_once_with_one_key_have_one_effect(house: House) -> None:
    headers = house.headers()
    answers = await asyncio.gather(
        *(house.client.post("/v1/products", json=product("A"), headers=headers) for _ in range(20))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1


async def test_refused_commands_can_be_asked_for_too(house: House) -> None:
    await house.post("/v1/products", product("A"))
    assert_problem(await house.post("/v1/products", product("A")), 409, "already-claimed")
    async with house.engine.begin() as connection:
        company_id = decode("cmp", house.company_id)
        await connection.execute(
            text("SELECT set_config('ccontrol.company', :c, true)"), {"c": str(company_id)}
        )
        command_id = (await connection.execute(text("SELECT command_id FROM ccontrol.refusals"))).scalar_one()
    found = (await house.get(f"/v1/commands/{encode('cmd', command_id)}")).json()
    assert (found["outcome"], found["code"], found["topic"]) == (
        "refused",
        "already-claimed",
        "catalog.register_product",
    )


async def test_suspension_is_known_at_the_door(house: House) -> None:
    company = f"/v1/companies/{house.other_company_id}"
    there = {"Ccontrol_Company": house.other_company_id}
    assert (await house.post(f"{company}/suspend", {"reason": "x"}, **there)).status_code == 200
    me = (await house.get("/v1/me", **there)).json()
    assert me["company"]["suspended"] is True
    assert_problem(await house.post("/v1/products", product("A"), **there), 403, "company-is-suspended")
    assert (await house.post(f"{company}/reinstate", {"reason": "x"}, **there)).status_code == 200


def odd_questions(app: FastAPI) -> Iterator[str]:
    """For each report: some bad ids in its path, and some bad values of each parameter it has."""
    for route in routes_of(app):
        if not any(isinstance(gate, Reads) for gate in gates_of(route)):
            continue
        some = random.Random(route.path)
        path = re.sub(r"{\w+}", "prd_01JDCE8Z0M9T3VX4K7QAWB2R5N", route.path)
        for value in some.sample(BAD_VALUES, 5) if "{" in route.path else ():
            yield re.sub(r"{\w+}", lambda _, value=value: value, route.path)  # type: ignore[misc]
        for name in [field.alias for field in query_fields(route.dependant)]:
            for value in some.sample(BAD_VALUES, 5):
                yield f"{path}?{name}={value}"
        yield f"{path}?{some.choice(BAD_VALUES)}=1"


async def test_no_question_however_odd_breaks_a_report(house: House) -> None:
    for url in odd_questions(house.app):
        answer = await house.get(url)
        assert answer.status_code < 500, (url, answer.text)
        if answer.status_code >= 400:
            assert_problem(answer, answer.status_code)


async def test_readiness_names_every_projection(house: House) -> None:
    body: dict[str, Any] = {}
    async with asyncio.timeout(20):
        # What the tests before this one wrote may still be on its way, into Redis above all.
        while {entry["state"] for entry in body.get("projections", ())} != {"live"}:
            body = (await house.client.get("/readyz")).json()
    assert body["checks"] == {"database": "ok", "redis": "ok"}
    assert {entry["name"] for entry in body["projections"]} == house.app.state.services.projections
    assert (await house.client.get("/livez")).json() == {"status": "ok"}


@pytest.mark.parametrize(("ahead_seconds", "least"), [(0, 0), (3600, 3000), (-3600, 3000)])
async def test_a_clock_that_disagrees_with_the_database_is_told(
    house: House, ahead_seconds: int, least: int
) -> None:
    services = house.app.state.services
    ahead = timedelta(seconds=ahead_seconds)
    house.app.state.services = replace(services, clock=lambda: services.clock() + ahead)
    try:
        lines = (await house.client.get("/metrics")).text.splitlines()
    finally:
        house.app.state.services = services
    (told,) = [line.split()[1] for line in lines if line.startswith("ccontrol_clock_skew_seconds ")]
    # Less than the whole, by the time the answer took: never more.
    assert least <= abs(float(told)) <= abs(ahead_seconds)
    assert float(told) * ahead_seconds >= 0


async def test_without_redis_it_is_only_degraded(house: House) -> None:
    services = house.app.state.services
    nowhere: Redis = Redis.from_url("redis://127.0.0.1:1/0")
    house.app.state.services = replace(services, redis=nowhere)
    try:
        ready = await house.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["checks"] == {"database": "ok", "redis": "down"}
    finally:
        house.app.state.services = services
        await nowhere.aclose()


async def test_the_doors_answer_while_the_database_is_away(house: House) -> None:
    assert (await house.get("/v1/me")).status_code == 200
    services = house.app.state.services
    nowhere = create_async_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    house.app.state.services = replace(services, engine=nowhere)
    try:
        answer = await house.get("/v1/products")
        assert_problem(answer, 503, "dependency-down")
        assert answer.headers["retry-after"] == "1"
        ready = await house.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        assert (await house.client.get("/livez")).status_code == 200
        house.app.state.has_started = False
        starting = await house.client.get("/startupz")
        assert (starting.status_code, starting.json()) == (503, {"status": "starting"})
        assert starting.headers["retry-after"] == "1"
        house.app.state.services = replace(services, projections=services.projections | {"yet_to_come"})
        assert (await house.client.get("/startupz")).status_code == 503
        house.app.state.services = services
        started = await house.client.get("/startupz")
        assert (started.status_code, started.json()) == (200, {"status": "ok"})
        # Once it has come up, what goes away is a matter of readiness.
        house.app.state.services = replace(services, engine=nowhere)
        assert (await house.client.get("/startupz")).status_code == 200
    finally:
        house.app.state.services = services
        await nowhere.dispose()


async def test_clients_that_take_no_answer_keep_no_question_from_being_asked(house: House) -> None:
    """More of them than there are connections, and each is in the middle of being answered."""
    stuck, enough = asyncio.Event(), asyncio.Event()
    answering = 0

    async def never_taken(message: MutableMapping[str, Any]) -> None:
        nonlocal answering
        if message["type"] == "http.response.start":
            answering += 1
            if answering == _CONNECTIONS:
                enough.set()
        await stuck.wait()

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/v1/products",
        "raw_path": b"/v1/products",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", f"Bearer {house.token}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("doors", 80),
    }
    asking = [
        asyncio.create_task(house.app(dict(scope, state={}), nothing, never_taken))
        for _ in range(2 * _CONNECTIONS)
    ]
    try:
        async with asyncio.timeout(20):
            await enough.wait()
            assert (await house.get("/v1/products")).status_code == 200
    finally:
        stuck.set()
        await asyncio.gather(*asking)
    assert answering == 2 * _CONNECTIONS
