"""Patterns mean to the local broker what they mean to AMQP."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.patterns import matches

_WORDS = st.lists(st.sampled_from(["a", "b", "c+", "*", "#"]), min_size=1, max_size=5)
_KEYS = st.lists(st.sampled_from(["a", "b", "c+", ""]), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("pattern", "key", "wanted"),
    [
        ("#", "cmp.sales.sale_confirmed", True),
        ("*", "cmp.sales.sale_confirmed", False),
        ("*.sales.*", "cmp.sales.sale_confirmed", True),
        ("*.sales.*", "cmp.salesx.sale_confirmed", False),
        ("*.sale.*", "cmp.sales.sale_confirmed", False),
        ("cmp.#", "cmp", True),
        ("cmp.#", "cmpx.sales", False),
        ("#.sales.#", "sales", True),
        ("a.b", "axb", False),
    ],
)
def test_patterns(pattern: str, key: str, wanted: bool) -> None:
    assert matches(pattern, key) is wanted


@given(_WORDS, _KEYS)
def test_patterns_match_as_their_definition_says(pattern: list[str], key: list[str]) -> None:
    assert matches(".".join(pattern), ".".join(key)) is _defined(pattern, key)


def _defined(pattern: list[str], key: list[str]) -> bool:
    """Word by word."""
    if not pattern:
        return not key
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return any(_defined(rest, key[n:]) for n in range(len(key) + 1))
    return bool(key) and first in ("*", key[0]) and _defined(rest, key[1:])
