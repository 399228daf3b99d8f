"""Live updates: told once it can be seen, to whom it concerns, without missing or doubling anything."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text

import api.live
import api.stream
from api.memberships import Directory
from api.things import context_of, is_told, thing_of
from projections.operate import pause, resume
from tests.doors.ears import Heard, listening
from tests.doors.house import House, move_in, open_house
from tests.doors.world import assert_problem
from write_model.message import EVENTS
from write_model.values.identifiers import decode

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def building(module_database_url: str, module_redis_url: str) -> AsyncIterator[House]:
    """Everything started."""
    async with open_house(module_database_url, module_redis_url) as house:
        yield house


@pytest_asyncio.fixture(loop_scope="module")
async def house(building: House) -> House:
    """With an owner and companies that are new for each test."""
    return await move_in(building)


async def make(house: House, count: int, start: int = 0) -> list[str]:
    """So many products; their ids."""
    made = []
    for number in range(start, start + count):
        answer = await house.post("/v1/products", {"sku": f"P{number}", "name": "Café"})
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["resource"]["id"])
    return made


def ids(heard: list[Heard]) -> list[str]:
    return [each.data["id"] for each in heard]


async def test_a_change_is_told_when_it_can_be_seen(house: House) -> None:
    async with listening(house.app, "/v1/stream", house.headers()) as ears:
        assert ears.status == 200
        assert ears.headers["content-type"].startswith("text/event-stream")
        assert ears.headers["x-accel-buffering"] == "no"
        await ears.until(1, "ready")
        for number in range(3):
            (product,) = await make(house, 1, number)
            heard = (await ears.until(number + 1))[-1]
            # No token, no waiting: it has been folded already.
            assert (await house.get(f"/v1/products/{product}")).status_code == 200
            assert heard.data["type"] == "product"
            assert (heard.data["id"], heard.data["version"]) == (product, 1)
            assert heard.data["topic"] == "catalog.product_registered"
            assert set(heard.data["projections"]) == {"audit_events", "catalog_products"}
            assert heard.id is not None
            assert heard.id.split("-")[2] == str(heard.data["position"])


async def test_who_comes_back_misses_nothing_and_hears_nothing_twice(house: House) -> None:
    """Many times, at every point of what is going on."""
    heard: list[Heard] = []
    made: list[str] = []
    last = ""

    async def write() -> None:
        for number in range(60):
            made.extend(await make(house, 1, number))

    async with listening(house.app, "/v1/stream", house.headers()) as ears:
        (ready,) = await ears.until(1, "ready")
        last = ready.id or ""
    writing = asyncio.create_task(write())
    while not writing.done() or len(heard) < 60:
        async with listening(house.app, "/v1/stream", house.headers(Last_Event_ID=last)) as ears:
            # Leaving in the middle: sometimes while the log is read, sometimes while following.
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("tests.doors.ears._PATIENCE_SECONDS", 0.5)
                with suppress(TimeoutError):
                    await ears.until(1 + len(heard) % 7)
            heard += ears.of("changed")
            last = heard[-1].id or last if heard else last
    await writing
    assert ids(heard) == made
    # From the very beginning the log says the same, through the query parameter, too.
    first = "-".join([*last.split("-")[:2], "0"])
    async with listening(
        house.app, f"/v1/stream?last_event_id={first}&topics=catalog", house.headers()
    ) as ears:
        assert ids(await ears.until(60)) == made


async def test_only_what_was_asked_for_and_may_be_read_is_told(house: House) -> None:
    clerk = f"{uuid4().hex}@example.com"
    await house.give_role(await house.add_user(clerk), decode("cmp", house.company_id), "clerk")
    theirs = replace(house, token=(await house.sign_in(clerk))["access_token"])
    async with (
        listening(house.app, "/v1/stream", house.headers()) as owner,
        listening(house.app, "/v1/stream", theirs.headers()) as clerks,
        listening(house.app, "/v1/stream?topics=parties,catalog.price_revised", house.headers()) as some,
        listening(
            house.app, "/v1/stream", house.headers(Ccontrol_Company=house.other_company_id)
        ) as elsewhere,
    ):
        for ears in (owner, clerks, some, elsewhere):
            await ears.until(1, "ready")
        await make(house, 1)
        adopted = await house.post("/v1/ledger/charts", {})
        assert adopted.status_code in (200, 201), adopted.text
        await house.post("/v1/parties", {"name": "Alguém"})
        await some.until(1)
        told = await owner.until(3)
        await clerks.until(2)
        assert {context_of(each.data["topic"]) for each in told} == {"catalog", "ledger", "parties"}
        assert {context_of(each.data["topic"]) for each in clerks.of("changed")} == {"catalog", "parties"}
        assert {each.data["topic"] for each in some.of("changed")} == {"parties.party_registered"}
        assert elsewhere.of("changed") == []
    everything = str([each.data for each in owner.heard])
    assert "Alguém" not in everything
    assert "Café" not in everything


async def test_what_cannot_be_is_refused_before_anything_is_told(house: House) -> None:
    async with listening(house.app, "/v1/stream", house.headers()) as ears:
        (ready,) = await ears.until(1, "ready")
    epoch, partition, position = (ready.id or "").split("-")
    refused: dict[str, tuple[int, str]] = {
        f"{int(epoch) + 1}-{partition}-{position}": (409, "store-epoch-changed"),
        f"{epoch}-{partition}-{10**12}": (409, "store-epoch-changed"),
        f"{epoch}-{int(partition) + 1}-{position}": (400, "malformed-header"),
        "x": (400, "malformed-header"),
        f"{epoch}-{partition}-٣": (400, "malformed-header"),
    }
    for given, (status, code) in refused.items():
        if given.isascii():
            answer = await house.get("/v1/stream", Last_Event_ID=given)
            assert_problem(answer, status, code)
    assert_problem(await house.get("/v1/stream?topics=nonsense"), 400, "filter-invalid")
    assert_problem(await house.get("/v1/stream?colour=red"), 400, "filter-unknown")
    assert_problem(await house.get("/v1/stream?topics=sales&topics=stock"), 400, "filter-repeated")
    assert_problem(await house.get("/v1/stream", Accept="application/json"), 406, "not-acceptable")
    assert_problem(await house.client.get("/v1/stream"), 401, "unauthenticated")


async def test_a_stream_ends_with_the_rights_of_its_client(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.memberships._REMEMBERED_SECONDS", 0.1)
    directory: Directory = house.app.state.directory
    clerk = f"{uuid4().hex}@example.com"
    user_id = await house.add_user(clerk)
    await house.give_role(user_id, decode("cmp", house.company_id), "clerk")
    theirs = replace(house, token=(await house.sign_in(clerk))["access_token"])
    directory.forget(user_id)
    async with listening(house.app, "/v1/stream", theirs.headers()) as ears:
        await ears.until(1, "ready")
        async with house.engine.begin() as connection:
            await connection.execute(
                text("SELECT set_config('ccontrol.company', :c, true)"),
                {"c": str(decode("cmp", house.company_id))},
            )
            await connection.execute(
                text("DELETE FROM ccontrol.memberships WHERE user_id = :u"), {"u": user_id}
            )
        await ears.until_over()
    async with listening(house.app, "/v1/stream", house.headers()) as ears:
        await ears.until(1, "ready")
        services = house.app.state.services
        # The token lives ten minutes.
        house.app.state.services = replace(services, clock=lambda: _later(services))
        try:
            await ears.until_over()
        finally:
            house.app.state.services = services


def _later(services: Any) -> Any:
    return services.clock() + timedelta(minutes=11)


async def test_who_does_not_keep_up_is_let_go_and_comes_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live, "QUEUE_MAX", 5)
    async with listening(house.app, "/v1/stream", house.headers()) as slow:
        (ready,) = await slow.until(1, "ready")
        await make(house, 1)
        await slow.until(1)
        slow.holding.clear()
        made = await make(house, 20, 1)
        await house.get("/v1/products", Prefer="wait=10")
        async with listening(house.app, "/v1/stream", house.headers(Last_Event_ID=ready.id or "")) as quick:
            await quick.until(21)
        slow.holding.set()
        await slow.until_over()
        last = slow.of("changed")[-1].id or ""
        before = ids(slow.of("changed"))
    assert len(before) < 21
    async with listening(house.app, "/v1/stream", house.headers(Last_Event_ID=last)) as back:
        await back.until(21 - len(before))
        assert (before + ids(back.of("changed")))[1:] == made


async def test_a_stopped_projection_is_not_named_and_silences_nobody(
    house: House, module_database_url: str
) -> None:
    await pause(module_database_url, "catalog_products", "trial", actor="ana")
    try:
        async with asyncio.timeout(60), listening(house.app, "/v1/stream", house.headers()) as ears:
            await ears.until(1, "ready")
            made, shown = 0, None
            while shown != ["audit_events"]:  # until the projector has taken notice, and folds no more
                await make(house, 1, made)
                made += 1
                shown = (await ears.until(made))[-1].data["projections"]
    finally:
        await resume(module_database_url, "catalog_products", actor="ana")


async def test_many_clients_share_one_follower_which_ends_with_the_last(house: House) -> None:
    live = house.app.state.live
    async with (
        listening(house.app, "/v1/stream", house.headers()) as one,
        listening(house.app, "/v1/stream", house.headers()) as other,
    ):
        await asyncio.gather(one.until(1, "ready"), other.until(1, "ready"))
        assert len(live._followers) == 1
        await make(house, 2)
        assert ids(await one.until(2)) == ids(await other.until(2))
    assert live._followers == {}


async def test_nobody_opens_streams_without_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.stream, "STREAMS_OF_ONE_MAX", 1)
    async with listening(house.app, "/v1/stream", house.headers()) as ears:
        await ears.until(1, "ready")
        answer = await house.get("/v1/stream")
        assert_problem(answer, 429, "rate-limited")
    async with listening(house.app, "/v1/stream", house.headers()) as ears:
        assert ears.status == 200


async def test_nobody_opens_streams_without_end_by_opening_them_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.stream, "STREAMS_OF_ONE_MAX", 2)
    async with AsyncExitStack() as stack:
        opening = [
            stack.enter_async_context(listening(house.app, "/v1/stream", house.headers())) for _ in range(8)
        ]
        opened = await asyncio.gather(*opening)
        assert Counter(each.status for each in opened) == {200: 2, 429: 6}
    async with listening(house.app, "/v1/stream", house.headers()) as ears:
        assert ears.status == 200


async def test_every_event_of_interest_is_about_something() -> None:
    """Also those of contexts to come: the first field is the thing."""
    for topic, kind in EVENTS.items():
        if is_told(topic):
            names = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
            data = dict.fromkeys(names, str(uuid4()))
            thing = thing_of(topic, data)
            assert thing.type
            assert thing.id
    assert thing_of("stock.stock_received", {"product_id": str(uuid4())}).type == "stock_level"
    assert thing_of("ledger.period_closed", {"period": "2026-11"}).id == "2026-11"
