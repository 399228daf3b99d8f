"""Deliveries: one for each event and webhook, signed, tried again, given up, taken over."""

import asyncio
import hmac
import json
from base64 import b64decode
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import Any, cast
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy.exc import SQLAlchemyError

from integration.webhooks import deliveries
from integration.webhooks.courier import FAILING, GONE
from integration.webhooks.deliveries import Attempt, New, Ruling
from tests.webhooks.post_office import PostOffice, secret_of
from tests.webhooks.receiver import Received, answering, receiving, saying
from write_model.webhooks.events import (
    SecretRotated,
    TestRequested,
    WebhookDisabled,
    WebhookEnabled,
    WebhookRemoved,
)

pytestmark = pytest.mark.asyncio

DAY = timedelta(days=1)


def verifies(received: Received, secret: bytes) -> bool:
    """As a receiver checks it, with nothing of ours."""
    given = received.headers["webhook-signature"].split(" ")
    signed = f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}.".encode()
    expected = hmac.new(secret, signed + received.body, sha256).digest()
    return expected in [b64decode(each.removeprefix("v1,")) for each in given]


async def secret_id(office: PostOffice, webhook_id: UUID) -> UUID:
    ((found,),) = await office.rows(
        "SELECT secret_id FROM read.webhooks_endpoints_g1 WHERE webhook_id = %s", webhook_id
    )
    return cast("UUID", found)


async def test_an_event_is_told_once_signed_and_thin(office: PostOffice) -> None:
    async with receiving() as receiver:
        webhook_id = await office.register(receiver)
        event = await office.told_sale()
        await office.fan_out(event)
        assert await office.deliver() == 1
        await office.fan_out(event)
        assert await office.deliver() == 0
        (received,) = receiver.received
    assert received.headers["webhook-id"] == event.public_id
    assert received.headers["webhook-timestamp"] == str(int(office.now.timestamp()))
    secret = secret_of(office.company_id, webhook_id, await secret_id(office, webhook_id))
    assert verifies(received, secret)
    assert not verifies(received, b"another")
    told = json.loads(received.body)
    assert (told["type"], told["data"]["id"]) == ("sales.sale_confirmed", event.public_id)
    assert (told["data"]["position"], told["data"]["links"][0]["type"]) == (event.position, "sale")
    (row,) = await office.deliveries()
    assert (row["state"], row["tries"], row["reason"]) == ("delivered", 1, None)
    assert await office.attempts() == [(1, 200, None)]


async def test_for_a_day_after_a_rotation_both_secrets_sign(office: PostOffice) -> None:
    async with receiving() as receiver:
        webhook_id = await office.register(receiver)
        old = await secret_id(office, webhook_id)
        rotated = SecretRotated(webhook_id=cast("Any", webhook_id), secret_id=uuid4(), replaces=old)
        await office.happened(rotated)
        secrets = [secret_of(office.company_id, webhook_id, each) for each in (rotated.secret_id, old)]
        await office.told_sale()
        await office.deliver()
        assert [verifies(receiver.received[0], each) for each in secrets] == [True, True]
        office.now += DAY
        await office.told_sale()
        await office.deliver()
        assert [verifies(receiver.received[1], each) for each in secrets] == [True, False]


async def test_it_is_tried_eight_times_within_a_day_with_the_same_id_and_body(office: PostOffice) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(500, b"not now\x00\x1b[31m")
        await office.register(receiver)
        await office.told_sale()
        begun = office.now
        while await office.deliver():
            if "pending" in await office.states():
                await office.until_next_try()
        assert len(receiver.received) == 8
        assert len({(each.headers["webhook-id"], each.body) for each in receiver.received}) == 1
        assert len({each.headers["webhook-timestamp"] for each in receiver.received}) == 8
    assert timedelta(hours=20) < office.now - begun <= DAY
    (row,) = await office.deliveries()
    assert (row["state"], row["reason"], row["tries"]) == ("failed", "status-500", 8)
    assert await office.attempts() == [(number, 500, None) for number in range(1, 9)]
    ((snippet,), *_) = await office.rows("SELECT snippet FROM integration.webhook_attempts")
    assert snippet == "not now  [31m"


async def test_who_asks_for_patience_is_given_it(office: PostOffice) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(503, Retry_After="1800")
        await office.register(receiver)
        await office.told_sale()
        await office.deliver()
        assert await office.until_next_try() == timedelta(minutes=30)
        receiver.respond = answering(204)
        await office.deliver()
    assert await office.states() == ["delivered"]


async def test_a_redirect_is_no_delivery(office: PostOffice) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(307, Location=f"https://erp.example.com:{receiver.port}/elsewhere")
        await office.register(receiver)
        await office.told_sale()
        await office.deliver()
        assert len(receiver.received) == 1
    assert await office.attempts() == [(1, 307, None)]
    assert await office.states() == ["pending"]


async def test_gone_disables_and_is_not_tried_again(office: PostOffice) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(410)
        webhook_id = await office.register(receiver)
        await office.told_sale()
        await office.deliver()
    assert office.disabled == [(webhook_id, GONE)]
    (row,) = await office.deliveries()
    assert (row["state"], row["reason"]) == ("failed", "status-410")


async def test_a_webhook_of_which_nothing_comes_through_for_days_is_disabled(office: PostOffice) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(404)
        webhook_id = await office.register(receiver)
        begun = office.now
        while not office.disabled:
            await office.told_sale()
            await office.deliver()
            office.now += timedelta(hours=9)
            assert office.now - begun < 5 * DAY
    assert office.disabled[0] == (webhook_id, FAILING)
    assert office.now - begun >= 3 * DAY


async def test_one_success_and_it_counts_from_the_beginning(office: PostOffice) -> None:
    async with receiving() as receiver:
        await office.register(receiver)
        for status in (500, 200, 500, 500):
            receiver.respond = answering(status)
            await office.told_sale()
            await office.deliver()
        assert await office.rows("SELECT failures FROM integration.webhook_health") == [(2,)]


async def test_enabling_it_again_forgives(office: PostOffice) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(500)
        webhook_id = cast("Any", await office.register(receiver))
        await office.told_sale()
        await office.deliver()
        await office.happened(WebhookDisabled(webhook_id=webhook_id))
        await office.fan_out(await office.happened(WebhookEnabled(webhook_id=webhook_id)))
    assert await office.rows("SELECT failures FROM integration.webhook_health") == []


@pytest.mark.parametrize("fact", [WebhookDisabled, WebhookRemoved])
async def test_what_waits_for_a_webhook_that_is_gone_is_dropped(office: PostOffice, fact: Any) -> None:
    async with receiving() as receiver:
        webhook_id = await office.register(receiver)
        await office.told_sale()
        await office.happened(fact(webhook_id=webhook_id))
        await office.deliver()
        assert receiver.connections == 0
    (row,) = await office.deliveries()
    assert (row["state"], row["reason"]) == ("dropped", f"webhook-{fact.topic.rpartition('_')[2]}")
    assert await office.attempts() == []


async def test_what_waited_is_not_told_by_one_that_is_enabled_again_before_it_was_due(
    office: PostOffice,
) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(500)
        webhook_id = cast("Any", await office.register(receiver))
        await office.told_sale()
        await office.deliver()
        disabled = await office.happened(WebhookDisabled(webhook_id=webhook_id))
        await office.fan_out(disabled)
        await office.fan_out(await office.happened(WebhookEnabled(webhook_id=webhook_id)))
        await office.told_sale()
        # The broker may bring it again, late.
        await office.fan_out(disabled)
    assert await office.states() == ["dropped", "pending"]


async def test_a_test_is_sent_once_whatever_the_filters_and_while_disabled(office: PostOffice) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(500)
        webhook_id = cast("Any", await office.register(receiver, "settlement.*"))
        await office.register(receiver, "*")
        await office.happened(WebhookDisabled(webhook_id=webhook_id))
        await office.fan_out(await office.happened(TestRequested(webhook_id=webhook_id)))
        await office.deliver()
        (received,) = receiver.received
        assert json.loads(received.body)["type"] == "webhooks.test_requested"
    assert await office.states() == ["failed"]
    assert await office.rows("SELECT failures FROM integration.webhook_health") == []


async def test_an_address_that_resolves_to_a_private_one_is_not_called(office: PostOffice) -> None:
    async with receiving() as receiver:
        await office.register(receiver)
        await office.told_sale()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("integration.webhooks.calling.is_public", lambda address: False)
            await office.deliver()
        assert receiver.connections == 0
    assert await office.attempts() == [(1, None, "address-refused")]


# --- many couriers, slow and dead receivers -------------------------------------------------------------


async def test_who_is_slow_or_dead_keeps_nobody_else_waiting(office: PostOffice) -> None:
    async with receiving() as slow, receiving() as well:
        slow.respond = saying(b"", then_wait=True)
        await office.register(slow)
        await office.register(well)
        for _ in range(12):
            await office.told_sale()
        running = asyncio.create_task(office.courier(seconds=60, places=8).run())
        await well.until(12)
        # A few at a time on the way to the slow one, and that is all it gets of the places.
        assert slow.connections == 4
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_of_one_that_keeps_failing_one_is_on_the_way_at_a_time(office: PostOffice) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(500)
        await office.register(receiver)
        for _ in range(3):
            await office.told_sale()
        await office.deliver()
        for _ in range(6):
            await office.told_sale()
        courier = office.courier()
        async with asyncio.TaskGroup() as tasks:
            assert await courier.look(tasks) == 1


async def test_those_that_fail_have_half_of_the_places(office: PostOffice) -> None:
    async with receiving() as receiver:
        receiver.respond = answering(500)
        for _ in range(6):
            await office.register(receiver)
        for _ in range(3):
            await office.told_sale()
        await office.deliver()
        await office.until_next_try()
        async with asyncio.TaskGroup() as tasks:
            assert await office.courier(places=8).look(tasks) == 4


async def test_several_couriers_share_the_work_and_nothing_is_told_twice(office: PostOffice) -> None:
    async with receiving() as receiver:
        for _ in range(4):
            await office.register(receiver)
        for _ in range(4):
            await office.told_sale()
        await asyncio.gather(*(office.deliver(office.courier(f"courier {n}")) for n in range(4)))
        while "pending" in await office.states():
            await office.deliver()
        assert len(receiver.received) == 16
    assert set(await office.states()) == {"delivered"}


async def test_what_a_dead_courier_had_taken_is_taken_over_and_it_writes_nothing_any_more(
    office: PostOffice,
) -> None:
    async with receiving() as receiver:
        await office.register(receiver)
        await office.told_sale()
        async with office.pool.connection() as connection:
            (taken,) = await deliveries.take(
                connection,
                owner="dead",
                now=office.now,
                limit=1,
                each_max=4,
                failing_from=3,
                failing=False,
                lease_seconds=0.3,
            )
            assert await office.deliver() == 0
            await asyncio.sleep(0.35)
            assert await office.deliver() == 1
            attempt = Attempt(started_at=office.now, milliseconds=1, status=500, error=None, snippet="")
            late = Ruling(state="failed", reason="late")
            assert not await deliveries.settle(connection, taken, late, attempt, owner="dead", now=office.now)
        assert len(receiver.received) == 1
    assert await office.attempts() == [(2, 200, None)]
    assert await office.states() == ["delivered"]


async def test_a_delivery_that_kills_every_courier_ends_too(office: PostOffice) -> None:
    async with receiving() as receiver:
        await office.register(receiver)
        await office.told_sale()
        for _ in range(11):
            async with office.pool.connection() as connection:
                await deliveries.take(
                    connection,
                    owner="dies",
                    now=office.now,
                    limit=1,
                    each_max=4,
                    failing_from=3,
                    failing=False,
                    lease_seconds=0,
                )
        await office.deliver()
        assert receiver.connections == 0
    (row,) = await office.deliveries()
    assert (row["state"], row["reason"]) == ("failed", "courier-lost")


async def test_a_courier_whose_own_defect_crashes_a_delivery_goes_on_with_others(office: PostOffice) -> None:
    async with receiving() as receiver:
        bad, good = await office.register(receiver), await office.register(receiver)

        def secrets(company_id: UUID, webhook_id: UUID, secret_id: UUID) -> bytes:
            if webhook_id == bad:
                raise LookupError("a defect")
            return secret_of(company_id, webhook_id, secret_id)

        await office.told_sale()
        assert await office.deliver(office.courier(secret_of=secrets)) == 2
        assert len(receiver.received) == 1
    found = {row["webhook_id"]: row["state"] for row in await office.deliveries()}
    assert found == {bad: "pending", good: "delivered"}


async def test_too_many_waiting_are_dropped_and_none_of_another(office: PostOffice) -> None:
    one, other = uuid4(), uuid4()
    async with office.pool.connection() as connection:
        for some in ([one], [one, one, other], [one]):
            new = [
                New(
                    company_id=office.company_id,
                    webhook_id=webhook_id,
                    event_id=uuid4(),
                    topic="sales.sale_confirmed",
                    position=1,
                    body=b"{}",
                    tries_max=8,
                )
                for webhook_id in some
            ]
            await deliveries.enqueue(connection, new, now=office.now, pending_max=2)
    found = await office.rows(
        "SELECT webhook_id, state, reason FROM integration.webhook_deliveries WHERE state = 'dropped'"
    )
    assert found == 2 * [(one, "dropped", "queue-full")]


async def test_what_ended_long_ago_is_forgotten_and_what_waits_is_not(office: PostOffice) -> None:
    async with receiving() as receiver:
        await office.register(receiver)
        await office.told_sale()
        await office.deliver()
        await office.told_sale()
        async with office.pool.connection() as connection:
            assert await deliveries.forget(connection, office.now) == 0
            assert await deliveries.forget(connection, office.now + timedelta(seconds=1)) == 1
    ((pending, _),) = await office.rows("SELECT * FROM integration.webhook_backlog()")
    assert pending == 1
    assert await office.states() == ["pending"]
    assert await office.attempts() == []


async def test_a_courier_waits_for_a_database_that_is_away(office: PostOffice, furnished: str) -> None:
    async with receiving() as receiver:
        await office.register(receiver)
        running = asyncio.create_task(office.courier().run())
        await asyncio.sleep(0.1)
        async with await psycopg.AsyncConnection.connect(furnished, autocommit=True) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'ccontrol-%'"
            )
        for _ in range(20):
            with suppress(psycopg.Error, SQLAlchemyError):
                await office.told_sale()
                break
        await receiver.until(1)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
