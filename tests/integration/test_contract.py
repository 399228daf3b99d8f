"""What every broker promises, asked of both: RabbitMQ and the tables that stand in for it."""

import asyncio
import random
from collections.abc import Sequence

import pytest
from psycopg_pool import AsyncConnectionPool

from integration.broker import Broker, DeadLetter, Letter, Published, Subscription, Unroutable
from integration.dead_letters import DeadLetterRow, decide, listed, send_wanted
from integration.event import IntegrationEvent
from projections.connections import Connection
from tests.integration.conftest import MakeBroker
from tests.integration.happenings import happening
from tests.integration.listening import Listener, consuming, eventually, first_of

pytestmark = pytest.mark.asyncio

Pool = AsyncConnectionPool[Connection]

ALL = Subscription(queue="all", patterns=("#",), retry_seconds=(0.2, 0.4), deliveries_max=2)


async def _publish(broker: Broker, events: Sequence[IntegrationEvent]) -> Published:
    async with broker.publisher() as publisher:
        return await publisher.publish(events)


async def test_what_is_published_arrives_in_the_order_of_its_stream(make_broker: MakeBroker) -> None:
    broker = make_broker()
    await broker.declare([ALL])
    events = [happening(f"stream {n % 7}", n // 7 + 1) for n in range(140)]
    published = await _publish(broker, events)
    assert published == Published(frozenset(event.id for event in events))
    listener = Listener(lambda _: asyncio.sleep(random.uniform(0, 0.005)))
    async with consuming(broker, ALL, listener):
        await listener.all_of(events)
    assert sorted(listener.heard, key=lambda event: event.id) == sorted(events, key=lambda event: event.id)
    assert all(versions == list(range(1, 21)) for versions in listener.first_versions().values())


async def test_one_of_a_stream_at_a_time_many_streams_side_by_side(make_broker: MakeBroker) -> None:
    broker = make_broker()
    await broker.declare([ALL])
    running: dict[object, int] = {}
    most_of_one, most = 0, 0

    async def work(event: IntegrationEvent) -> None:
        nonlocal most, most_of_one
        running[event.stream_id] = running.get(event.stream_id, 0) + 1
        most = max(most, sum(running.values()))
        most_of_one = max(most_of_one, *running.values())
        await asyncio.sleep(0.01)
        running[event.stream_id] -= 1

    events = [happening(f"stream {n % 5}", n // 5 + 1) for n in range(50)]
    await _publish(broker, events)
    listener = Listener(work)
    async with consuming(broker, ALL, listener):
        await listener.all_of(events)
    assert most_of_one == 1
    assert 1 < most <= ALL.concurrency


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("#", {"sales.sale_confirmed", "stock.stock_issued", "sales.sale_drafted"}),
        ("*.sales.*", {"sales.sale_confirmed", "sales.sale_drafted"}),
        ("*.*.sale_drafted", {"sales.sale_drafted"}),
        ("#.stock_issued", {"stock.stock_issued"}),
        ("*.#.stock.#", {"stock.stock_issued"}),
    ],
)
async def test_a_queue_gets_what_its_patterns_match(
    make_broker: MakeBroker, pattern: str, wanted: set[str]
) -> None:
    broker = make_broker()
    some = Subscription(queue="some", patterns=(pattern,))
    await broker.declare([some, ALL])
    events = [
        happening(topic, topic=topic)
        for topic in ("sales.sale_confirmed", "stock.stock_issued", "sales.sale_drafted")
    ]
    assert (await _publish(broker, events)).failure is None
    listener = Listener()
    async with consuming(broker, some, listener):
        await listener.until(lambda: len(listener.heard) >= len(wanted))
        # Had there been more, it would have come before this one.
        last = happening("last", topic=next(iter(wanted)))
        await _publish(broker, [last])
        await listener.all_of([last])
    assert {event.topic for event in listener.heard} == wanted


async def test_an_event_without_a_queue_is_not_confirmed(make_broker: MakeBroker) -> None:
    broker = make_broker()
    sales = Subscription(queue="sales", patterns=("*.sales.*",))
    await broker.declare([sales])
    nowhere = happening("stock", topic="stock.stock_issued")
    published = await _publish(broker, [nowhere])
    assert published.confirmed == frozenset()
    assert isinstance(published.failure, Unroutable)
    # The publisher is as good as new, and what has a queue goes through.
    async with broker.publisher() as publisher:
        assert isinstance((await publisher.publish([nowhere])).failure, Unroutable)
        assert (await publisher.publish([happening("sale")])).failure is None
        await broker.declare([Subscription(queue="stock", patterns=("*.stock.*",))])
        assert (await publisher.publish([nowhere])).confirmed == {nowhere.id}


async def test_nothing_of_a_stream_is_sent_past_an_event_that_is_not_confirmed(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker()
    sales = Subscription(queue="sales", patterns=("*.sales.*",))
    await broker.declare([sales])
    chain = [happening(version=n, topic="stock.stock_issued" if n == 3 else "sales.x") for n in range(1, 6)]
    published = await _publish(broker, chain)
    assert published.confirmed == {event.id for event in chain[:2]}
    assert isinstance(published.failure, Unroutable)


async def test_a_handler_that_fails_gets_the_event_again_and_others_go_on(make_broker: MakeBroker) -> None:
    broker = make_broker()
    await broker.declare([ALL])
    weak, strong = happening("weak"), happening("strong")
    tries = 0

    async def fail_twice(event: IntegrationEvent) -> None:
        nonlocal tries
        if event.id == weak.id:
            tries += 1
            if tries < 3:
                raise RuntimeError("not now")

    await _publish(broker, [weak, strong])
    listener = Listener(fail_twice)
    async with consuming(broker, ALL, listener):
        await listener.until(lambda: tries == 3)
        await listener.all_of([strong])
    assert [event.id for event in listener.heard].index(strong.id) < 2


async def _letters(pool: Pool) -> list[DeadLetterRow]:
    async with pool.connection() as connection:
        return await listed(connection)


async def test_poison_ends_as_a_dead_letter_that_can_be_sent_again(
    make_broker: MakeBroker, pool: Pool
) -> None:
    broker = make_broker()
    await broker.declare([ALL, other := Subscription(queue="other", patterns=("#",))])
    poison, healthy = happening("poison"), [happening("healthy", n) for n in range(1, 21)]
    is_poisonous = True

    async def refuse(event: IntegrationEvent) -> None:
        if event.id == poison.id and is_poisonous:
            raise ValueError("I cannot \x00 stand it")

    await _publish(broker, [poison, *healthy])
    listener, bystander = Listener(refuse), Listener()
    async with consuming(broker, ALL, listener), consuming(broker, other, bystander):
        await eventually(lambda: _is(pool, 1))
        await listener.all_of(healthy)
        (letter,) = await _letters(pool)
        assert (letter.queue, letter.message_id, letter.topic) == ("all", poison.public_id, poison.topic)
        assert letter.company_id == poison.company_id
        assert letter.error == "ValueError: I cannot   stand it"
        assert letter.body == poison.to_json()
        assert [event.id for event in listener.heard].count(poison.id) == 3

        is_poisonous = False
        async with pool.connection() as connection:
            assert await decide(connection, "all", poison.public_id, "retrying", actor="me", reason=None)
            assert not await decide(connection, "all", poison.public_id, "retrying", actor="me", reason=None)
            assert await send_wanted(connection, broker) == 1
            assert await send_wanted(connection, broker) == 0
            (sent,) = await listed(connection, everything=True)
            assert (sent.state, sent.decided_by) == ("retried", "me")
        await listener.until(lambda: [event.id for event in listener.heard].count(poison.id) == 4)
    # Only the queue it died in got it again.
    assert [event.id for event in bystander.heard].count(poison.id) == 1


async def _is(pool: Pool, count: int, deaths: int = 1) -> bool:
    letters = await _letters(pool)
    return len(letters) == count and all(letter.deaths == deaths for letter in letters)


async def test_a_letter_that_dies_again_is_the_same_letter(make_broker: MakeBroker, pool: Pool) -> None:
    broker = make_broker()
    await broker.declare([ALL])

    async def refuse(event: IntegrationEvent) -> None:
        raise DeadLetter("no use")

    poison = happening()
    await _publish(broker, [poison])
    listener = Listener(refuse)
    async with consuming(broker, ALL, listener):
        await eventually(lambda: _is(pool, 1))
        async with pool.connection() as connection:
            await decide(connection, "all", poison.public_id, "retrying", actor="me", reason=None)
            await send_wanted(connection, broker)
        await eventually(lambda: _is(pool, 1, deaths=2))
        (letter,) = await _letters(pool)
        assert (letter.state, letter.decided_by, letter.error) == ("dead", None, "no use")
        async with pool.connection() as connection:
            assert await decide(connection, "all", poison.public_id, "discarded", actor="me", reason="old")
            assert await listed(connection) == []
            assert await send_wanted(connection, broker) == 0
    # Without a pause, so no more than one try each time.
    assert len(listener.heard) == 2


async def test_a_handler_that_hangs_is_ended_and_tried_again(make_broker: MakeBroker, pool: Pool) -> None:
    broker = make_broker()
    hasty = Subscription(queue="hasty", patterns=("#",), retry_seconds=(0.1,), handler_seconds=0.1)
    await broker.declare([hasty])
    await _publish(broker, [happening()])
    listener = Listener(lambda _: asyncio.sleep(600))
    async with consuming(broker, hasty, listener):
        await eventually(lambda: _is(pool, 1))
    assert len(listener.heard) == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00\xff", b"[]", b'{"id": "evt_\\u0000"}', b"[" * 100_000, b'"\\ud800"'],
    ids=["empty", "binary", "list", "nul", "deep", "surrogate"],
)
async def test_what_is_no_event_of_ours_is_kept_for_somebody_to_look_at(
    make_broker: MakeBroker, pool: Pool, body: bytes
) -> None:
    broker = make_broker()
    await broker.declare([ALL])
    await broker.redeliver("all", Letter("somebody's", body))
    await _publish(broker, [good := happening()])
    listener = Listener()
    async with consuming(broker, ALL, listener):
        await listener.all_of([good])
        await eventually(lambda: _is(pool, 1))
    (letter,) = await _letters(pool)
    assert (letter.body, letter.company_id, letter.topic) == (body, None, None)
    assert listener.heard == [good]


async def test_a_message_whose_handlers_die_is_given_up(make_broker: MakeBroker, pool: Pool) -> None:
    await (broker := make_broker()).declare([ALL])
    await _publish(broker, [killer := happening("killer")])
    for _ in range(10):
        started = Listener(lambda _: asyncio.sleep(600))
        # Another process each time; it dies in the middle of the handler.
        async with consuming(make_broker(), ALL, started):
            await first_of(started.all_of([killer]), eventually(lambda: _is(pool, 1)))
        if await _is(pool, 1):
            break
    (letter,) = await _letters(pool)
    assert letter.message_id == killer.public_id
    assert "again and again" in letter.error


async def test_one_process_at_a_time_consumes_and_another_takes_over(make_broker: MakeBroker) -> None:
    processes = [make_broker(), make_broker()]
    await processes[0].declare([ALL])
    running, most = 0, 0

    async def work(_: IntegrationEvent) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(0.005)
        finally:
            running -= 1

    # What either of them hears.
    listener = Listener(work)
    async with consuming(processes[0], ALL, listener):
        async with consuming(processes[1], ALL, listener):
            events = [happening("one", n) for n in range(1, 31)]
            await _publish(processes[0], events[:15])
            await listener.all_of(events[:15])
        await _publish(processes[0], events[15:])
        await listener.all_of(events[15:])
    assert listener.first_versions()[events[0].stream_id] == list(range(1, 31))
    assert most == 1


async def test_nobody_listens_when_a_process_has_not_finished_its_handler(make_broker: MakeBroker) -> None:
    """What was delivered and not dealt with is delivered again: to whoever consumes next."""
    broker = make_broker()
    await broker.declare([ALL])
    await _publish(broker, [event := happening()])
    stuck, free = Listener(lambda _: asyncio.sleep(600)), Listener()
    async with consuming(make_broker(), ALL, stuck):
        await stuck.all_of([event])
    async with consuming(make_broker(), ALL, free):
        await free.all_of([event])


async def test_what_another_process_declares_counts_from_the_next_event_on(make_broker: MakeBroker) -> None:
    broker = make_broker()
    await broker.declare([ALL])
    late = Subscription(queue="late", patterns=("*.sales.*",))
    after = happening("after")
    async with broker.publisher() as publisher:
        assert (await publisher.publish([happening("before")])).failure is None
        await make_broker().declare([late])
        assert (await publisher.publish([after])).failure is None
    listener = Listener()
    async with consuming(broker, late, listener):
        await listener.all_of([after])
    assert listener.heard == [after]
