"""Who is told of what: decided by what the log said before the event, however late or often it comes."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from integration.webhooks import listeners
from integration.webhooks.fan_out import FanOut
from integration.webhooks.listeners import NotFoldedYet
from projections.connections import open_pool
from tests.history.sampling import sample_of
from tests.webhooks.post_office import PostOffice, a_sale
from tests.webhooks.receiver import Receiver, answering, receiving
from write_model.claims.events import Claimed
from write_model.message import Event
from write_model.settlement.events import InstalmentSettled
from write_model.webhooks.events import (
    RedeliveryRequested,
    TestRequested,
    WebhookChanged,
    WebhookDisabled,
    WebhookEnabled,
)

pytestmark = pytest.mark.asyncio

NOWHERE = Receiver(port=443)


def settled() -> Event:
    fact: Event = sample_of(InstalmentSettled)
    return fact


async def topics_told(office: PostOffice) -> list[str]:
    return [row["topic"] for row in await office.deliveries()]


async def test_a_webhook_is_told_of_what_its_filters_name(office: PostOffice) -> None:
    sales = await office.register(NOWHERE, "sales.*")
    exact = await office.register(NOWHERE, "settlement.instalment_settled", "sales.sale_cancelled")
    everything = await office.register(NOWHERE, "*")
    for fact in (a_sale(), settled()):
        await office.fan_out(await office.happened(fact))
    found = {(row["webhook_id"], row["topic"]) for row in await office.deliveries()}
    assert found == {
        (sales, "sales.sale_confirmed"),
        (exact, "settlement.instalment_settled"),
        (everything, "sales.sale_confirmed"),
        (everything, "settlement.instalment_settled"),
    }


async def test_what_is_technical_hears_who_names_it(office: PostOffice) -> None:
    await office.register(NOWHERE, "*")
    named = await office.register(NOWHERE, "claims.*")
    await office.fan_out(await office.happened(Claimed(subject="x", holder=uuid4())))
    assert [row["webhook_id"] for row in await office.deliveries()] == [named]


async def test_what_happened_before_it_listened_is_not_told(office: PostOffice) -> None:
    early = await office.sale()
    webhook_id = cast("Any", await office.register(NOWHERE))
    await office.happened(WebhookDisabled(webhook_id=webhook_id))
    meanwhile = await office.sale()
    await office.happened(WebhookEnabled(webhook_id=webhook_id))
    late = await office.sale()
    for event in (late, meanwhile, early):
        await office.fan_out(event)
    assert [row["position"] for row in await office.deliveries()] == [late.position]


async def test_another_company_is_told_nothing(office: PostOffice) -> None:
    await office.register(NOWHERE)
    office.company_id = uuid4()
    await office.told_sale()
    assert await office.deliveries() == []


async def test_an_event_ahead_of_the_projection_waits_for_it(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The webhook was registered just before the event, and nobody has folded that yet."""
    await office.register(NOWHERE)
    await office.told_sale()
    event = await office.sale(folded=False)
    monkeypatch.setattr("integration.webhooks.fan_out._PATIENCE_SECONDS", 0.05)
    with pytest.raises(NotFoldedYet):
        await office.fan_out(event)
    monkeypatch.setattr("integration.webhooks.fan_out._PATIENCE_SECONDS", 10.0)
    waiting = asyncio.create_task(office.fan_out(event))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    # The next event brings the projection past it.
    await office.sale()
    await waiting
    assert len(await office.deliveries()) == 2


async def test_a_partition_that_stands_still_does_not_take_the_places_of_others(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of it one event waits at a time, once it is known; as soon as it goes on all do again."""
    await office.register(NOWHERE)
    late = [await office.sale(folded=False) for _ in range(3)]
    monkeypatch.setattr("integration.webhooks.fan_out._PATIENCE_SECONDS", 0.05)
    with pytest.raises(NotFoldedYet):
        await office.fan_out(late[0])
    monkeypatch.setattr("integration.webhooks.fan_out._PATIENCE_SECONDS", 600.0)
    waiting = asyncio.create_task(office.fan_out(late[0]))
    await asyncio.sleep(0)
    for event in late[1:]:
        with pytest.raises(NotFoldedYet):
            await office.fan_out(event)
    assert not waiting.done()
    await office.sale()
    await waiting
    again = await office.sale(folded=False)
    both = [asyncio.create_task(office.fan_out(again)) for _ in range(2)]
    await office.sale()
    await asyncio.gather(*both)
    assert len(await office.deliveries()) == 2


async def test_who_listens_is_asked_once_for_many_events(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    read = listeners.endpoints_of

    async def counted(connection: Any, companies: Sequence[UUID]) -> Any:
        asked.append(len(set(companies)))
        return await read(connection, companies)

    monkeypatch.setattr(listeners, "endpoints_of", counted)
    await office.register(NOWHERE)
    events = [await office.sale() for _ in range(20)]
    office.company_id = uuid4()
    await office.register(NOWHERE)
    events += [await office.sale() for _ in range(20)]
    await asyncio.gather(*(office.fan_out(event) for event in events))
    assert asked == [2]
    assert len(await office.deliveries()) == 40


async def test_before_anybody_projects_an_event_waits(
    office: PostOffice, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration.webhooks.fan_out._PATIENCE_SECONDS", 0.0)
    async with open_pool(database_url, size=1) as empty:
        fan_out = FanOut(empty, lambda: office.now, lambda: None)
        with pytest.raises(NotFoldedYet):
            await fan_out(await office.sale())


async def test_the_same_event_from_two_consumers_at_once_is_one_delivery(office: PostOffice) -> None:
    await office.register(NOWHERE)
    event = await office.sale()
    await asyncio.gather(*(office.fan_out(event) for _ in range(5)))
    assert len(await office.deliveries()) == 1


async def test_the_address_is_that_of_the_moment_of_sending(office: PostOffice) -> None:
    async with receiving() as old, receiving() as new:
        webhook_id = cast("Any", await office.register(old))
        await office.told_sale()
        url = f"https://erp.example.com:{new.port}/"
        await office.happened(WebhookChanged(webhook_id=webhook_id, url=url, topics=("*",), description=None))
        await office.deliver()
        assert (old.connections, len(new.received)) == (0, 1)


async def test_a_redelivery_tells_the_same_again_once_for_each_request(office: PostOffice) -> None:
    async with receiving() as receiver:
        webhook_id = cast("Any", await office.register(receiver))
        await office.told_sale()
        await office.deliver()
        (row,) = await office.deliveries()
        again = RedeliveryRequested(webhook_id=webhook_id, delivery_id=row["delivery_id"])
        request = await office.happened(again)
        for _ in range(2):
            await office.fan_out(request)
            await office.deliver()
        assert len(receiver.received) == 2
        first, second = receiver.received
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert json.loads(first.body) == json.loads(second.body)
    assert await office.attempts() == [(1, 200, None), (2, 200, None)]


async def test_a_redelivery_of_a_failed_one_has_all_its_tries_again(office: PostOffice) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(500)
        webhook_id = cast("Any", await office.register(receiver))
        await office.told_sale()
        while await office.deliver():
            if "pending" in await office.states():
                await office.until_next_try()
        (row,) = await office.deliveries()
        again = RedeliveryRequested(webhook_id=webhook_id, delivery_id=row["delivery_id"])
        await office.fan_out(await office.happened(again))
        await office.deliver()
        receiver.respond = answering(200)
        await office.until_next_try()
        await office.deliver()
    (row,) = await office.deliveries()
    assert (row["state"], row["tries"], row["attempts"]) == ("delivered", 2, 10)


async def test_a_redelivery_of_one_that_waits_for_hours_is_tried_now(office: PostOffice) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(500)
        webhook_id = cast("Any", await office.register(receiver))
        await office.told_sale()
        for _ in range(5):
            await office.deliver()
            await office.until_next_try()
        await office.deliver()
        (row,) = await office.deliveries()
        assert (row["state"], row["tries"]) == ("pending", 6)
        receiver.respond = answering(200)
        assert not await office.deliver()
        again = RedeliveryRequested(webhook_id=webhook_id, delivery_id=row["delivery_id"])
        await office.fan_out(await office.happened(again))
        assert await office.deliver()
    (row,) = await office.deliveries()
    assert (row["state"], row["tries"], row["attempts"]) == ("delivered", 1, 7)


async def test_a_test_does_not_wait_for_all_that_waits_already(office: PostOffice) -> None:
    async with receiving() as receiver:
        webhook_id = cast("Any", await office.register(receiver))
        for _ in range(20):
            await office.told_sale()
        courier = office.courier()
        office.now += timedelta(minutes=1)
        await courier._floors.now()
        test = await office.happened(TestRequested(webhook_id=webhook_id))
        await office.fan_out(test)
        async with asyncio.TaskGroup() as tasks:
            assert await courier.look(tasks) == 4
        assert test.public_id in {request.headers["webhook-id"] for request in receiver.received}


async def test_nobody_has_the_delivery_of_another_webhook_told_again(office: PostOffice) -> None:
    async with receiving() as receiver:
        await office.register(receiver)
        other = cast("Any", await office.register(receiver, "settlement.*"))
        await office.told_sale()
        await office.deliver()
        (row,) = await office.deliveries()
        stolen = RedeliveryRequested(webhook_id=other, delivery_id=row["delivery_id"])
        await office.fan_out(await office.happened(stolen))
    assert await office.states() == ["delivered"]
    # Nor does it go unnoticed.
    assert await office.rows("SELECT outcome, deliveries FROM integration.webhook_outcomes") == [
        ("unknown", 1)
    ]


async def test_what_happens_with_webhooks_is_told_like_anything_else(office: PostOffice) -> None:
    listening = await office.register(NOWHERE, "webhooks.*")
    other = cast("Any", await office.register(NOWHERE, "sales.*"))
    await office.fan_out(await office.happened(WebhookDisabled(webhook_id=other)))
    assert [row["webhook_id"] for row in await office.deliveries()] == [listening]
    assert await topics_told(office) == ["webhooks.webhook_disabled"]
