"""Text that people typed: nothing invisible, nothing deceiving, nothing silently removed."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_model.values.invalid import Invalid
from write_model.values.text import clean_text

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "text",
    [
        "Padaria São João", "Ação & Cia. Ltda. – filial nº 2", "  indented", "trailing ", "a\u00a0b", "日本",
        "مرحبا", "R$ 1.234,56", "½ kg", "café ☕", "❤\ufe0f", "=SUM(A1)", "<b>", "'; DROP TABLE--",
        "𝔘", "한국어",
    ],
)  # fmt: skip
def test_ordinary_text_is_kept_as_it_came(text: str) -> None:
    """Every script, every punctuation, also what other programs would misread."""
    assert clean_text(text, max_length=100) == unicodedata.normalize("NFC", text)


FORBIDDEN = [
    *range(0x20), *range(0x7F, 0xA0),  # controls, NUL and line breaks included
    0xD800, 0xDBFF, 0xDC00, 0xDFFF,  # lone surrogates
    *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C,  # direction
    *range(0x200B, 0x200E), 0x2060, 0xFEFF, 0x180E, 0x00AD, 0x034F, 0x2028, 0x2029,  # zero width, breaks
    0x3164, 0xFFA0, 0x115F, 0x1160, 0x2800,  # blank letters
    0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF, 0xFDD0, 0xFDEF,  # noncharacters
    0xE0001, 0xE0041,  # tags
]  # fmt: skip


@pytest.mark.parametrize("point", FORBIDDEN, ids=lambda point: f"U+{point:04X}")
def test_what_cannot_be_seen_is_refused_wherever_it_stands(point: int) -> None:
    """At the start, in the middle, at the end and alone."""
    character = chr(point)
    for text in (
        f"{character}Padaria",
        f"Pada{character}ria",
        f"Padaria{character}",
        character,
        f"é{character}",
    ):
        with pytest.raises(Invalid) as caught:
            clean_text(text, max_length=100)
        assert caught.value.code == "forbidden-character"


@pytest.mark.parametrize("text", [" ", "   ", "\u00a0", "\u3000 ", "\u0301", " \u0301", "\ufe0f"])
def test_a_blank_text_says_nothing(text: str) -> None:
    """Spaces and lonely accents alone."""
    with pytest.raises(Invalid) as caught:
        clean_text(text, max_length=100)
    assert caught.value.code == "text-blank"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "text-too-short"),
        ("ab", "text-too-short"),
        ("a" * 11, "text-too-long"),
        ("a" * 10**6, "text-too-long"),
    ],
)
def test_a_text_has_its_length(text: str, code: str) -> None:
    """In characters after composition."""
    with pytest.raises(Invalid) as caught:
        clean_text(text, max_length=10, min_length=3)
    assert caught.value.code == code


def test_a_text_may_be_optional() -> None:
    """With a minimum of zero; blank is still refused."""
    assert clean_text("", max_length=10, min_length=0) == ""


def test_equal_looking_texts_are_equal() -> None:
    """One letter or a letter and its accent."""
    assert clean_text("Sa\u0303o Joa\u0303o", max_length=8) == "São João"


@pytest.mark.parametrize("given_value", [None, 1, b"text", ["text"], True])
def test_a_text_is_text(given_value: object) -> None:
    """Bytes have no meaning before they are decoded."""
    with pytest.raises(Invalid) as caught:
        clean_text(given_value, max_length=10)  # type: ignore[arg-type]
    assert caught.value.code == "invalid-text"


@given(st.text(st.characters(), max_size=60))
def test_any_text_is_kept_composed_or_refused(text: str) -> None:
    """What is kept stays as it is when cleaned again, fits, and can be stored."""
    try:
        cleaned = clean_text(text, max_length=40)
    except Invalid:
        return
    assert clean_text(cleaned, max_length=40) == cleaned == unicodedata.normalize("NFC", text)
    assert 1 <= len(cleaned) <= 40
    assert cleaned.strip()
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in cleaned)
