"""`Prefer` is read as RFC 7240 has it, and whatever else stands in it is passed over."""

import pytest
from starlette.requests import Request

from api.freshness import Preferences, preferences_of


def prefers(*lines: str) -> Preferences:
    headers = [(b"prefer", line.encode("latin-1")) for line in lines]
    return preferences_of(Request({"type": "http", "headers": headers}))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("wait=0", 0),
        ("wait=2", 2),
        ("Wait=2", 2),
        ("WAIT = 2", 2),
        ('wait="2"', 2),
        ("wait=2; why=so", 2),
        ("respond-async, wait=3", 3),
        ('foo="bar"; x=y , wait=3', 3),
        ("wait=3, wait=1", 3),
        ("wait=11", 10),
        ("wait=" + "9" * 5000, 10),
        ("wait", None),
        ("wait=", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=1e1", None),
        ("wait=²", None),
        ("handling=lenient; wait=5", None),
        ('foo="wait=5"', None),
        ('foo="a, wait=5"', None),
        ("=5, ;wait=5, wait==5, wait=5=5", None),
        ("x" * 60_000, None),
        ("," * 60_000, None),
    ],
)
def test_how_long_a_client_would_wait(text: str, seconds: float | None) -> None:
    assert prefers(text).wait_seconds == seconds


@pytest.mark.parametrize(
    ("lines", "lenient"),
    [
        (["handling=lenient"], True),
        (["Handling=Lenient"], True),
        (["wait=1", "handling=lenient"], True),
        (['handling="lenient"; x=y'], True),
        (["handling=strict, handling=lenient"], False),
        (["wait=1; handling=lenient"], False),
        (["handling"], False),
        (["xhandling=lenient"], False),
    ],
)
def test_whether_less_would_do(lines: list[str], lenient: bool) -> None:
    assert prefers(*lines).lenient is lenient


def test_what_is_done_is_said() -> None:
    assert prefers('Wait="99", HANDLING=lenient, return = minimal, foo').applied == (
        "wait=10, handling=lenient, return=minimal"
    )
    assert prefers("foo", "").applied == ""
