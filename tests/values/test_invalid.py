"""The error of the values: a stable family of codes that never repeats what was given."""

import ast
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import write_model.values
from write_model.values.dates import parse_date
from write_model.values.identifiers import decode
from write_model.values.invalid import CODES, Invalid
from write_model.values.money import Money
from write_model.values.period import Period
from write_model.values.quantity import Quantity, UnitPrice
from write_model.values.tax_number import TaxNumber
from write_model.values.text import clean_text

pytestmark = pytest.mark.unit

KEBAB_CASE = re.compile(r"[a-z]+(-[a-z]+)+")


def test_the_list_of_codes_is_exactly_what_the_source_raises() -> None:
    """A new code must be published, and a code nobody raises is a promise nobody keeps."""
    written: set[str] = set()
    for path in Path(write_model.values.__path__[0]).glob("*.py"):
        if path.name == "invalid.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                written |= {node.value} if KEBAB_CASE.fullmatch(node.value) else set()
    assert written == CODES


def test_an_invalid_value_survives_the_way_between_processes() -> None:
    """Workers send their errors home."""
    error = Invalid("text-too-long", "The text is too long.", {"max_length": "10"})
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes, a moment old
    assert (back.code, back.message, back.params, str(back)) == (
        "text-too-long",
        "The text is too long.",
        {"max_length": "10"},
        "The text is too long.",
    )


@pytest.mark.parametrize(
    "read",
    [
        Money.parse,
        lambda text: Money.parse("1.00", text),
        Quantity.parse,
        UnitPrice.parse,
        TaxNumber.parse,
        Period.parse,
        parse_date,
        lambda text: decode("sal", text),
        lambda text: clean_text(text + "\x00", max_length=200),
        lambda text: clean_text(text, max_length=3),
    ],
)
def test_what_was_given_is_never_repeated(read: Callable[[str], object]) -> None:
    """It may be personal data, and it may be hostile."""
    given = "529.982.247-99 <script>"
    with pytest.raises(Invalid) as caught:
        read(given)
    error = caught.value
    shown = f"{error!r} {error} {error.code} {error.message} {error.params}"
    assert "529" not in shown
    assert "script" not in shown
    assert error.__cause__ is None
    assert error.code in CODES
