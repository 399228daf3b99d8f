"""Operating projections over HTTP, in the whole house: by whom, what comes of it, and what readers see."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio

from api.freshness import token
from api.problems import Problem
from projections.rebuild import open_workshop
from runtime.operations import ProjectionOperations
from runtime.projection_work import Bench
from tests.doors.ears import listening
from tests.doors.house import House, move_in, open_house
from tests.doors.world import assert_problem
from write_model.store.log import Log
from write_model.values.identifiers import decode

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(module_database_url: str, module_redis_url: str) -> AsyncIterator[House]:
    """Everything started, and the owner of the first company there is."""
    async with open_house(module_database_url, module_redis_url) as building:
        email = f"{uuid4().hex}@example.com"
        company = uuid4()
        await building.give_role(await building.add_user(email), company, "owner")
        session = await building.sign_in(email)
        home = replace(building, token=session["access_token"], email=email, company_id=session["company_id"])
        # The first event of the log is of this company.
        assert (await home.post("/v1/products", {"sku": "first", "name": "Café"})).status_code == 201
        yield home


@pytest_asyncio.fixture(loop_scope="module")
async def bench(house: House, module_database_url: str, module_redis_url: str) -> AsyncIterator[Bench]:
    """What the process that does jobs has."""
    operations: ProjectionOperations = house.app.state.services.operations
    log: Log = operations._log
    async with open_workshop(module_database_url, module_redis_url, log) as workshop:
        yield Bench(module_database_url, log, workshop, operations._jobs, "tests")


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await true():  # noqa: ASYNC110  # the database sets no event
            await asyncio.sleep(0.05)


async def shown(house: House, name: str) -> dict[str, Any]:
    answer = await house.get(f"/v1/ops/projections/{name}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def execute(url: str, statement: str, *values: object) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode(), values)


async def test_operators_see_every_projection(house: House) -> None:
    answer = await house.get("/v1/ops/projections")
    found = {each["name"]: each for each in answer.json()["data"]}
    assert found.keys() == house.app.state.services.projections
    assert {each["state"] for each in found.values()} == {"running"}
    assert found["ledger_lines"]["klass"] == "ledger"
    assert_problem(await house.get("/v1/ops/projections/nothing"), 404, "not-found")


async def test_only_operators_of_the_first_company_operate(house: House) -> None:
    """Whoever makes a company owns it, and with it every permission there; not here."""
    stranger = await move_in(house)
    assert_problem(await stranger.get("/v1/ops/projections"), 403, "permission-denied")
    assert_problem(
        await stranger.post("/v1/ops/projections/stock_levels/pause", {"reason": "x"}),
        403,
        "permission-denied",
    )
    assert_problem(await stranger.get("/v1/jobs"), 403, "permission-denied")
    for role, may in {"clerk": False, "manager": False, "auditor": False, "ops": True, "admin": True}.items():
        email = f"{uuid4().hex}@example.com"
        await house.give_role(await house.add_user(email), decode("cmp", house.company_id), role)
        somebody = replace(house, token=(await house.sign_in(email))["access_token"])
        answer = await somebody.post("/v1/ops/projections/stock_levels/resume", {})
        assert (answer.status_code == 200) == may, role
    assert_problem(await house.client.get("/v1/ops/projections"), 401, "unauthenticated")


async def test_a_paused_projection_is_marked_stale_and_nobody_waits_for_it(house: House) -> None:
    paused = await house.post("/v1/ops/projections/catalog_products/pause", {"reason": "looking"})
    assert paused.status_code == 200, paused.text
    assert paused.json()["state"] == "paused"
    assert paused.json()["reason"].startswith("looking (usr_")
    made = await house.post("/v1/products", {"sku": uuid4().hex, "name": "Café"})
    seen = {"Consistency_Token": made.headers["consistency-token"]}
    begun = asyncio.get_running_loop().time()
    strict = await house.get("/v1/products", **seen, Prefer="wait=10")
    assert asyncio.get_running_loop().time() - begun < 9, "it waited for what cannot come"
    plain = await house.get("/v1/products")
    assert (plain.status_code, plain.headers["consistency"]) == (200, "stale")
    body = assert_problem(strict, 503, "projection-behind")
    assert (body["state"], body["projection"]) == ("stopped", "catalog_products")
    lenient = await house.get("/v1/products", **seen, Prefer="handling=lenient")
    assert (lenient.status_code, lenient.headers["consistency"]) == (200, "stale")
    # Not of the books, and on purpose: it is served, and nobody calls it well.
    ready = await house.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")

    assert (await house.post("/v1/ops/projections/catalog_products/resume", {})).status_code == 200
    fresh = await house.get("/v1/products", **seen, Prefer="wait=10")
    assert (fresh.status_code, fresh.headers["consistency"]) == (200, "fresh")
    await house.until_ready()


async def test_a_poison_event_is_shown_left_out_for_a_reason_and_remembered(
    house: House, module_database_url: str
) -> None:
    partition = house.app.state.services.store.partition_of(decode("cmp", house.company_id))
    for name in ("parties_directory", "ledger_lines"):
        execute(
            module_database_url,
            "INSERT INTO read.failures "
            "(projection, partition, position, event_id, topic, error, version, tries) VALUES "
            "(%s, %s, 4711, gen_random_uuid(), 'parties.party_registered', 'RuntimeError: x', 1, 5)",
            name,
            partition,
        )
    found = await shown(house, "parties_directory")
    assert found["state"] == "failed"
    (failure,) = found["failures"]
    assert failure["event_id"].startswith("evt_")
    assert {
        "partition",
        "position",
        "type",
        "error",
        "code_version",
        "first_seen",
        "last_seen",
    } <= failure.keys()
    # The books have stopped: this is not ready, whatever else is well.
    ready = await house.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert {e["name"]: e["state"] for e in ready.json()["projections"]}["ledger_lines"] == "failed"
    numbers = (await house.client.get("/metrics")).text
    assert 'ccontrol_projection_state{projection="ledger_lines"} 4.0' in numbers

    path = "/v1/ops/projections/{}/skip"
    skip = {"position": 4711, "reason": "trial"}
    assert_problem(await house.post(path.format("ledger_lines"), skip), 409, "break-glass-required")
    broken = await house.post(path.format("ledger_lines"), skip | {"break_glass": True})
    assert broken.status_code == 200, broken.text
    assert_problem(await house.post(path.format("ledger_lines"), skip), 409, "not-stopped-there")
    assert_problem(await house.post(path.format("parties_directory"), {"position": 4711}), 422)
    assert_problem(
        await house.post(path.format("parties_directory"), skip | {"reason": "  "}), 422, "validation-failed"
    )
    done = (await house.post(path.format("parties_directory"), skip)).json()
    assert done["failures"] == []
    (left_out,) = done["skips"]
    assert (left_out["position"], left_out["reason"], left_out["break_glass"]) == (4711, "trial", False)
    assert left_out["actor"].startswith("usr_")
    execute(module_database_url, "TRUNCATE read.skips")
    await house.until_ready()


async def test_nobody_who_folds_is_not_ready_however_well_all_looks(
    house: House, module_database_url: str
) -> None:
    await house.projector.stop()
    try:
        assert (await house.post("/v1/products", {"sku": uuid4().hex, "name": "Café"})).status_code == 201
        execute(
            module_database_url,
            "ALTER TABLE ccontrol.events DISABLE TRIGGER USER;"
            "UPDATE ccontrol.events SET recorded_at = recorded_at - interval '1 minute';"
            "UPDATE read.checkpoints SET updated_at = updated_at - interval '1 minute';"
            "UPDATE read.projections SET changed_at = changed_at - interval '1 minute'",
        )
        ready = await house.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        states = {each["state"] for each in ready.json()["projections"]}
        assert states == {"stuck"}
        assert (await shown(house, "audit_events"))["state"] == "blocked"
    finally:
        house.projector.start()
    await house.until_ready()


async def test_a_rebuild_is_a_job_that_is_told_while_it_goes_on(house: House, bench: Bench) -> None:
    for _ in range(10):
        await house.post("/v1/products", {"sku": uuid4().hex, "name": "Café"})
    asked = await house.post("/v1/ops/projections/catalog_products/rebuild", {"batch": 2, "promote": "never"})
    assert asked.status_code == 202, asked.text
    job = asked.json()
    assert asked.headers["location"] == f"/v1/jobs/{job['id']}"
    again = await house.post("/v1/ops/projections/catalog_products/rebuild", {})
    assert assert_problem(again, 409, "job-running")["actions"][0]["href"] == f"/v1/jobs/{job['id']}"
    async with listening(house.app, f"/v1/jobs/{job['id']}/stream", house.headers()) as ears:
        (queued,) = await ears.until(1, "progress")
        assert queued.data["state"] == "queued"
        claimed = await bench.jobs.claim(bench.owner)
        assert claimed is not None
        await bench.do(claimed)
        (done,) = await ears.until(1, "done")
        await ears.until_over()
    assert done.data["outcome"]["promoted"] is False
    assert done.data["outcome"]["equal"] is True
    assert done.data["progress"]["done"] == done.data["progress"]["total"] > 0
    assert "sample" not in str(done.data) or "Café" not in str(done.data)
    # What is over is not under way for ever.
    assert "ccontrol_projection_rebuild_ratio{" not in (await house.client.get("/metrics")).text

    for verb in ("promote", "rollback"):
        before = (await shown(house, "catalog_products"))["generation"]
        asked = await house.post(f"/v1/ops/projections/catalog_products/{verb}", {})
        assert asked.status_code == 202, asked.text
        claimed = await bench.jobs.claim(bench.owner)
        assert claimed is not None
        await bench.do(claimed)
        assert (await house.get(asked.headers["location"])).json()["state"] == "done"
        assert (await shown(house, "catalog_products"))["generation"] != before
    page = (await house.get("/v1/products")).json()
    assert page["as_of"]["position"] > 10
    missing = await house.get("/v1/jobs/job_01JDCE8Z0M9T3VX4K7QAWB2R5N")
    assert_problem(missing, 404, "not-found")
    assert len((await house.get("/v1/jobs")).json()["data"]) >= 3


async def test_a_stream_of_a_job_ends_when_nobody_can_say_how_far_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await house.post("/v1/ops/projections/catalog_products/compare", {})
    path = asked.headers["location"]

    async def away(operations: ProjectionOperations, job_id: UUID) -> None:
        raise Problem("dependency-down")

    async with listening(house.app, f"{path}/stream", house.headers()) as ears:
        await ears.until(1, "progress")
        monkeypatch.setattr(ProjectionOperations, "job", away)
        await ears.until_over()
    assert ears.status == 200, "another answer came in the middle of the first"
    assert (await house.post(f"{path}/cancel", {})).json()["state"] == "cancelled"


async def test_a_job_whose_worker_was_killed_is_taken_over_and_one_can_be_stopped(
    house: House, bench: Bench, module_database_url: str
) -> None:
    asked = await house.post("/v1/ops/projections/catalog_products/compare", {})
    assert (await bench.jobs.claim("killed")) is not None
    assert await bench.jobs.claim("another") is None
    execute(module_database_url, "UPDATE read.jobs SET heartbeat_at = now() - interval '1 minute'")
    taken = await bench.jobs.claim(bench.owner)
    assert taken is not None
    await bench.do(taken)
    job = (await house.get(asked.headers["location"])).json()
    assert (job["state"], job["outcome"]["equal"]) == ("done", True)

    asked = await house.post("/v1/ops/projections/catalog_products/rebuild", {})
    stopped = await house.post(f"{asked.headers['location']}/cancel", {})
    assert stopped.json()["state"] == "cancelled"
    assert await bench.jobs.claim(bench.owner) is None


@pytest.mark.parametrize(
    ("verb", "body", "code"),
    [
        ("rebuild", {"promote": "perhaps"}, "validation-failed"),
        ("rebuild", {"jobs": 0}, "validation-failed"),
        ("rebuild", {"batch": 1.5}, "validation-failed"),
        ("rebuild", {"from": 100}, "unknown-field"),
        ("pause", {}, "validation-failed"),
        ("pause", {"reason": "x" * 501}, "validation-failed"),
        ("pause", {"reason": "a\x00b"}, "validation-failed"),
        ("pause", {"reason": "\x1b[2J"}, "validation-failed"),
        ("skip", {"position": "1", "reason": "x"}, "validation-failed"),
        ("skip", {"position": 10**18, "reason": "x"}, "validation-failed"),
        ("resume", [], "validation-failed"),
    ],
)
async def test_what_is_asked_wrongly_is_refused(house: House, verb: str, body: object, code: str) -> None:
    answer = await house.post(f"/v1/ops/projections/stock_levels/{verb}", body)
    assert_problem(answer, 422, code)


@pytest.mark.parametrize("name", ["%00", "stock_levels%00", "%F0%9F%98%80", "stock_levels%0A", "%FF"])
async def test_names_that_no_projection_has_are_not_found(house: House, name: str) -> None:
    assert_problem(await house.get(f"/v1/ops/projections/{name}"), 404, "not-found")
    for verb, body in {"pause": {"reason": "x"}, "resume": {}, "rebuild": {}}.items():
        answer = await house.post(f"/v1/ops/projections/{name}/{verb}", body)
        assert_problem(answer, 404, "not-found")


async def test_filters_that_do_not_exist_are_not_passed_over(house: House) -> None:
    for path in (
        "/v1/ops/projections?state=failed",
        "/v1/ops/projections/stock_levels?x=1",
        "/v1/jobs?limit=1",
    ):
        assert_problem(await house.get(path), 400, "filter-unknown")


async def test_a_token_of_a_history_that_is_no_more_is_refused_at_once(house: House) -> None:
    services = house.app.state.services
    made = await house.post("/v1/products", {"sku": uuid4().hex, "name": "Café"})
    old = token(services.store.epoch - 1, 1, decode("cmp", house.company_id), services.door_secret)
    assert made.headers["consistency-token"] > old
    answer = await house.get("/v1/products", Consistency_Token=old)
    assert_problem(answer, 409, "store-epoch-changed")
