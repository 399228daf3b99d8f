"""Identifiers: one text for each, refused in any other."""

import string
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_model.values import identifiers
from write_model.values.identifiers import PREFIXES, SaleId, decode, encode, uuid7
from write_model.values.invalid import Invalid

pytestmark = pytest.mark.unit

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SALE = UUID("01939e0c-5f1b-7c3a-8b2d-0123456789ab")


@given(st.uuids(), st.sampled_from(sorted(PREFIXES.values())))
def test_an_identifier_reads_back_as_it_was_written(value: UUID, prefix: str) -> None:
    """Whatever kind of UUID is inside; the text is the number in base 32."""
    text = encode(prefix, value)
    assert decode(prefix, text) == value
    body = text.removeprefix(f"{prefix}_")
    assert len(body) == 26
    assert sum(ALPHABET.index(c) * 32 ** (25 - place) for place, c in enumerate(body)) == value.int


@pytest.mark.parametrize(
    ("number", "body"),
    [(0, "0" * 26), (1, "0" * 25 + "1"), (32, "0" * 24 + "10"), (2**128 - 1, "7" + "Z" * 25)],
)
def test_the_first_and_the_last_identifier(number: int, body: str) -> None:
    """Known by hand."""
    assert encode("sal", UUID(int=number)) == f"sal_{body}"
    assert decode("sal", f"sal_{body}").int == number


@given(st.uuids(), st.uuids())
def test_text_sorts_like_the_identifiers(one: UUID, other: UUID) -> None:
    """So newer ones stay behind older ones."""
    assert (encode("sal", one) < encode("sal", other)) == (one < other)


GOOD = encode("sal", SALE)


@pytest.mark.parametrize(
    "text",
    [
        "", "sal", "sal_", GOOD.lower(), GOOD[:-1], GOOD + "0", GOOD + "\n", " " + GOOD,
        GOOD.replace("_", "-"),
        GOOD.replace("_", "__"), GOOD.replace("sal", "SAL"), GOOD.replace("sal", "rcv"), GOOD[4:], str(SALE),
        "sal_8" + "0" * 25, "sal_" + "0" * 25 + "I", "sal_" + "0" * 25 + "L", "sal_" + "0" * 25 + "O",
        "sal_" + "0" * 25 + "U", "sal_" + "0" * 25 + "_", "sal_" + "0" * 24 + "_1", "sal_+" + "0" * 25,
        "sal_-" + "0" * 25, "sal_" + "0" * 25 + "１", "sal_" + "٠" * 26, "1_0", "%00", "..%2f", "1" * 30,
        "sal_" + "0" * 25 + "\x00", "sal_0x" + "0" * 24, "sal_" + "0" * 5000,
    ],
)  # fmt: skip
def test_any_other_form_of_an_identifier_is_refused(text: str) -> None:
    """Also those a lenient reader would take for the same one."""
    with pytest.raises(Invalid) as caught:
        decode("sal", text)
    assert caught.value.code == "invalid-id"


@pytest.mark.parametrize("given_value", [None, 1, SALE, GOOD.encode()])
def test_an_identifier_comes_as_text(given_value: object) -> None:
    """From outside there is nothing else."""
    with pytest.raises(Invalid):
        decode("sal", given_value)  # type: ignore[arg-type]


@given(st.text(ALPHABET + string.ascii_lowercase + "_ILOU", min_size=26, max_size=26))
def test_one_identifier_has_one_text(body: str) -> None:
    """What decodes encodes to the very same characters."""
    text = f"sal_{body}"
    try:
        value = decode("sal", text)
    except Invalid:
        return
    assert encode("sal", value) == text


def test_every_kind_of_identifier_has_its_own_prefix() -> None:
    """Three letters, none twice, and no kind forgotten."""
    kinds = {name for name in vars(identifiers) if name.endswith("Id")}
    assert {getattr(kind, "__name__", "") for kind in PREFIXES} == kinds
    assert len(set(PREFIXES.values())) == len(PREFIXES)
    assert all(len(prefix) == 3 and prefix.isalpha() and prefix.islower() for prefix in PREFIXES.values())
    assert PREFIXES[SaleId] == "sal"


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_time_ordered_identifier_is_a_proper_uuid(milliseconds: int, random_bits: bytes) -> None:
    """Version 7, RFC variant, the time in front and the seventy-four random bits behind."""
    value = uuid7(milliseconds, random_bits)
    assert (value.version, value.variant) == (7, RFC_4122)
    assert value.int >> 80 == milliseconds
    random = int.from_bytes(random_bits, "big") & (1 << 74) - 1
    assert (value.int >> 64 & 0xFFF) << 62 | value.int & (1 << 62) - 1 == random


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_a_later_identifier_is_larger(milliseconds: int, one: bytes, other: bytes) -> None:
    """Whatever the random bits are."""
    assert uuid7(milliseconds, one) < uuid7(milliseconds + 1, other)


def test_the_published_example_of_a_time_ordered_uuid() -> None:
    """RFC 9562, appendix A.6."""
    random_bits = (0xCC3 << 62 | 0x18C4DC0C0C07398F).to_bytes(10, "big")
    assert uuid7(0x017F22E279B0, random_bits) == UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")


@pytest.mark.parametrize(
    ("milliseconds", "random_bits"),
    [
        (-1, bytes(10)),
        (2**48, bytes(10)),
        (True, bytes(10)),
        (0.0, bytes(10)),
        (0, bytes(9)),
        (0, bytes(11)),
        (0, b""),
    ],
)
def test_time_and_randomness_have_their_size(milliseconds: int, random_bits: bytes) -> None:
    """Ten bytes, forty-eight bits."""
    with pytest.raises(Invalid) as caught:
        uuid7(milliseconds, random_bits)
    assert caught.value.code == "invalid-id"
