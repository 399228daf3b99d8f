"""What the world is told: enough to look it up, nothing that would have to be erased."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from integration.event import PLACES, IntegrationEvent, NotAnEvent, from_json, told
from tests.doors.world import open_world
from tests.history.sampling import sample_of
from tests.integration.happenings import happening
from write_model.message import EVENTS, Event, Personal, Recorded
from write_model.sales.events import SaleConfirmed
from write_model.store import topics

topics.load()
_KEYS = {
    "id", "topic", "schema_version", "company_id", "stream_id", "version", "partition", "position",
    "recorded_at", "effective_date", "links",
}  # fmt: skip
_PUBLIC_ID = re.compile(r"[a-z]{3}_[0-7][0-9A-HJKMNP-TV-Z]{25}")


def _recorded(fact: Event) -> Recorded:
    return Recorded(
        partition=3,
        position=17,
        company_id=uuid4(),
        stream_id=uuid4(),
        version=2,
        topic=fact.topic,
        schema_version=fact.schema_version,
        event_id=uuid4(),
        effective_date=date(2026, 11, 23),
        recorded_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
        actor_kind="user",
        actor_id=uuid4(),
        on_behalf_of=None,
        command_id=uuid4(),
        correlation_id=uuid4(),
        causation_id=None,
        channel="api",
        reason="because somebody called Beltrana asked",
        event=fact,
    )


@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)
def test_only_ids_topic_and_dates_of_an_event_leave_the_house(kind: type[Event]) -> None:
    recorded = _recorded(sample_of(kind))
    message = json.loads(told(recorded).to_json())
    assert message.keys() == _KEYS
    for link in message.pop("links"):
        assert link.keys() == {"type", "id", "url"}
        assert _PUBLIC_ID.fullmatch(link["id"])
        assert link["url"].endswith("/" + link["id"])
        assert link["type"] in {type_ for type_, _ in PLACES.values()}
    told_apart = {recorded.topic, recorded.effective_date.isoformat()}
    written = {value for value in message.values() if isinstance(value, str)} - told_apart
    assert not written & set(_texts(recorded.event))
    assert str(recorded.actor_id) not in json.dumps(message)
    assert "Beltrana" not in json.dumps(message)


def _texts(value: Any) -> Iterator[str]:
    """Every text a person may have typed."""
    match value:
        case str():
            yield value
        case Personal():
            yield value.text or ""
        case tuple() | list() | frozenset():
            for item in value:
                yield from _texts(item)
        case _ if is_dataclass(value):
            for item in fields(value):
                yield from _texts(getattr(value, item.name))


def test_a_confirmed_sale_links_to_what_it_is_about() -> None:
    fact: SaleConfirmed = sample_of(SaleConfirmed)
    links = told(_recorded(fact)).links
    assert [link.type for link in links] == ["sale", "party", "receivable"]
    assert links[0].url == f"/v1/sales/{links[0].id}"


@pytest.mark.asyncio
async def test_every_place_that_is_linked_can_be_looked_at() -> None:
    world = await open_world()
    paths = {
        re.sub(r"{\w+}", "", route.path)
        for route in world.app.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and route.path.endswith("}")
    }
    await world.client.aclose()
    assert {path for _, path in PLACES.values()} <= paths


def test_what_was_written_is_read() -> None:
    event = happening()
    assert from_json(event.to_json()) == event
    assert from_json(event.to_json()).to_json() == event.to_json()


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(_KEYS)), inner),
).map(lambda tree: json.dumps(tree).encode()))  # fmt: skip
def test_anything_else_is_not_an_event(body: bytes) -> None:
    with pytest.raises(NotAnEvent):
        from_json(body)


@given(st.sampled_from(sorted(_KEYS)), st.sampled_from([None, 1, "x", [], {}, True, 1.5, [1]]))
def test_an_event_with_one_thing_wrong_is_not_an_event(key: str, wrong: Any) -> None:
    right = happening()
    message = json.loads(right.to_json())
    message[key] = wrong
    try:
        read = from_json(json.dumps(message).encode())
    except NotAnEvent:
        return
    assert isinstance(read, IntegrationEvent)
    assert json.loads(read.to_json()) == message


def test_a_message_nested_too_deeply_is_not_an_event() -> None:
    with pytest.raises(NotAnEvent):
        from_json(b"[" * 100_000)


def test_the_routing_key_has_three_words() -> None:
    assert re.fullmatch(r"cmp_[0-9A-Z]{26}\.sales\.sale_confirmed", happening().routing_key)
    assert all(topic.count(".") == 1 for topic in EVENTS)
