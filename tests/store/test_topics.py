"""The codec: one text per event, nothing that cannot be stored, and no past that cannot be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.store.submissions import claimed, entry, party
from write_model.message import EVENTS, Event, Personal, event
from write_model.store import topics
from write_model.store.topics import NotStorable, UnknownTopic
from write_model.store.upcasts import UPCASTS, Upcasts, UpcastsIncomplete
from write_model.values.money import Money
from write_model.values.quantity import Quantity, UnitPrice

SUBJECT = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    topics.load()
    before = dict(EVENTS)
    yield
    EVENTS.clear()
    EVENTS.update(before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    quantity: Quantity
    unit_price: UnitPrice
    total: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    name: Personal


def declare_weighed(version: int = 1) -> Any:
    """A fresh class each time: declaring one twice is an error."""

    @event("tests.weighed", pt="", en="", version=version)
    class Weighed(Event):
        zeta: int
        day: date
        lines: tuple[Line, ...]
        note: str | None = None

    return Weighed


def weighed() -> Any:
    line = Line(quantity=Quantity.parse("1.5"), unit_price=UnitPrice.parse("2.25"), total=Money(338))
    return declare_weighed()(zeta=1, day=date(2026, 11, 23), lines=(line,), note="ação")


def test_the_text_is_canonical() -> None:
    assert topics.encode(weighed()) == (
        '{"day":"2026-11-23","lines":[{"quantity":"1.5","total":{"currency":"BRL","minor":338},'
        '"unit_price":"2.25"}],"note":"ação","zeta":1}'
    )


@pytest.mark.parametrize("make", [weighed, claimed, entry], ids=["weighed", "claimed", "entry"])
def test_what_was_encoded_decodes_to_the_same(make: Any) -> None:
    fact = make()
    kind = type(fact)
    assert topics.decode(kind.topic, kind.schema_version, topics.encode(fact)) == fact


def test_a_field_added_with_a_default_needs_no_upcast() -> None:
    kind = declare_weighed()
    text = '{"day":"2026-11-23","lines":[],"zeta":1}'
    assert topics.decode("tests.weighed", 1, text) == kind(zeta=1, day=date(2026, 11, 23), lines=())


@pytest.mark.parametrize(
    ("topic", "version"), [("tests.never", 1), ("tests.weighed", 2), ("tests.weighed", 0)]
)
def test_an_unknown_topic_or_version_is_not_guessed_at(topic: str, version: int) -> None:
    declare_weighed()
    with pytest.raises(UnknownTopic):
        topics.decode(topic, version, "{}")


def test_personal_texts_are_sealed_under_the_path_of_their_field() -> None:
    @event("tests.met", pt="", en="")
    class Met(Event):
        contacts: tuple[Contact, ...]
        first: Personal | None

    fact = Met(contacts=(Contact(name=Personal(SUBJECT, "Pessoa")),), first=None)
    sealed_paths: list[str] = []
    opened_paths: list[str] = []

    def seal(personal: Personal, path: str) -> dict[str, Any]:
        sealed_paths.append(path)
        return {"subject": str(personal.subject), "key": 1, "ct": (personal.text or "")[::-1]}

    def unseal(sealed: dict[str, Any], path: str) -> Personal:
        opened_paths.append(path)
        return Personal(UUID(sealed["subject"]), sealed["ct"][::-1])

    text = topics.encode(fact, seal)
    assert "Pessoa" not in text
    assert list(topics.subjects_in(text)) == [SUBJECT]
    assert topics.decode("tests.met", 1, text, unseal) == fact
    assert sealed_paths == opened_paths == ["contacts.0.name"]
    erased = topics.decode("tests.met", 1, text)
    assert erased == Met(contacts=(Contact(name=Personal(SUBJECT, None)),), first=None)


def test_personal_data_is_never_encoded_unsealed() -> None:
    with pytest.raises(NotStorable):
        topics.encode(party(uuid4()))


def test_all_personal_texts_of_an_event_are_found() -> None:
    assert {personal.text for personal in topics.personal_in(party(SUBJECT))} == {
        "Pessoa de Teste",
        "52998224725",
    }


def test_a_number_with_a_floating_point_stops_the_start() -> None:
    @event("tests.unsuitable", pt="", en="")
    class Unsuitable(Event):
        rates: tuple[float, ...]

    with pytest.raises(NotStorable):
        topics.check()


def test_a_field_of_any_type_stops_the_start() -> None:
    @event("tests.unsuitable", pt="", en="")
    class Unsuitable(Event):
        data: dict[str, Any]

    with pytest.raises(NotStorable):
        topics.check()


# --- upcasts --------------------------------------------------------------------------------------------


def test_old_events_pass_through_every_version_in_between() -> None:
    upcasts = Upcasts()
    upcasts.register("a.b", from_version=1)(lambda data: {"second": data["first"]})
    upcasts.register("a.b", from_version=2)(lambda data: {**data, "third": 3})
    upcasts.check({"a.b": 3, "a.c": 1})
    assert upcasts.apply("a.b", 1, 3, {"first": 1}) == {"second": 1, "third": 3}
    assert upcasts.apply("a.b", 2, 3, {"second": 1}) == {"second": 1, "third": 3}
    assert upcasts.apply("a.b", 3, 3, {"third": 1}) == {"third": 1}


def test_a_gap_stops_the_start() -> None:
    upcasts = Upcasts()
    upcasts.register("a.b", from_version=1)(lambda data: data)
    with pytest.raises(UpcastsIncomplete, match=r"a\.b lacks an upcast from version 2"):
        upcasts.check({"a.b": 3})


def test_one_left_over_stops_the_start() -> None:
    upcasts = Upcasts()
    upcasts.register("a.b", from_version=1)(lambda data: data)
    with pytest.raises(UpcastsIncomplete, match=r"a\.b has none to make from version 1"):
        upcasts.check({"a.b": 1})


def test_a_duplicate_stops_the_start() -> None:
    upcasts = Upcasts()
    upcasts.register("a.b", from_version=1)(lambda data: data)
    with pytest.raises(UpcastsIncomplete, match="two upcasts"):
        upcasts.register("a.b", from_version=1)(lambda data: data)


def test_an_event_of_an_older_version_is_read_as_the_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    declare_weighed(version=2)
    monkeypatch.setattr(UPCASTS, "_steps", {})
    UPCASTS.register("tests.weighed", from_version=1)(lambda data: {**data, "zeta": int(data["zeta"])})
    fact: Any = topics.decode("tests.weighed", 1, '{"day":"2026-11-23","lines":[],"zeta":"7"}')
    assert fact.zeta == 7
