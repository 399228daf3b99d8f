"""CPF and CNPJ, the one with letters included; python-stdnum is asked for a second opinion."""

import copy
import pickle
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from stdnum.br import cnpj, cpf

from write_model.values.invalid import Invalid
from write_model.values.tax_number import TaxNumber, cnpj_check_digits, cpf_check_digits

pytestmark = pytest.mark.unit

CPF_BASES = st.text(string.digits, min_size=9, max_size=9).filter(lambda base: len(set(base)) > 1)
CNPJ_BASES = st.text(string.digits + string.ascii_uppercase, min_size=12, max_size=12).filter(
    lambda base: len(set(base)) > 1
)
CPFS = CPF_BASES.map(lambda base: base + cpf_check_digits(base))
CNPJS = CNPJ_BASES.map(lambda base: base + cnpj_check_digits(base))


@pytest.mark.parametrize(
    ("text", "kind", "number", "masked", "root"),
    [
        ("529.982.247-25", "cpf", "52998224725", "529.982.247-25", None),
        ("52998224725", "cpf", "52998224725", "529.982.247-25", None),
        ("12.ABC.345/01DE-35", "cnpj", "12ABC34501DE35", "12.ABC.345/01DE-35", "12ABC345"),
        ("12abc34501de35", "cnpj", "12ABC34501DE35", "12.ABC.345/01DE-35", "12ABC345"),
        ("12.abc.345/01dE-35", "cnpj", "12ABC34501DE35", "12.ABC.345/01DE-35", "12ABC345"),
        ("11222333000181", "cnpj", "11222333000181", "11.222.333/0001-81", "11222333"),
        ("11.222.333/0001-81", "cnpj", "11222333000181", "11.222.333/0001-81", "11222333"),
    ],
)
def test_valid_numbers_are_read_with_or_without_their_mask(
    text: str, kind: str, number: str, masked: str, root: str | None
) -> None:
    """Upper case inside, whatever came."""
    tax_number = TaxNumber.parse(text)
    assert (tax_number.kind, tax_number.number, tax_number.masked, tax_number.cnpj_root) == (
        kind,
        number,
        masked,
        root,
    )


def test_check_digits_match_the_published_examples() -> None:
    """From the revenue's own description of the numbers with letters."""
    assert cnpj_check_digits("12ABC34501DE") == "35"
    assert cnpj_check_digits("112223330001") == "81"
    assert cpf_check_digits("529982247") == "25"


@pytest.mark.parametrize(
    "text",
    [
        # wrong check digits
        "529.982.247-26", "52998224715", "11222333000180", "12ABC34501DE36", "12.ABC.345/01DE-53",
        # never issued
        *(digit * 11 for digit in string.digits), *(digit * 14 for digit in string.digits),
        # letters where check digits are, or in a CPF
        "12ABC34501DEA5", "5299822472S", "A2998224725",
        # half a mask, another mask, spaces, other lengths
        "529982247-25", "529.982.24725", "529.982.247/25", "529 982 247 25", " 52998224725", "52998224725 ",
        "52998224725\n", "11.222.333/000181", "11222333/0001-81", "11-222-333/0001-81", "1122233300018",
        "011222333000181", "2998224725", "", "-", "112223330001810", "1122233300018181",
        "5299822472525", "9" * 5000,
        # digits and letters that are not ASCII but look or convert like it
        "５２９９８２２４７２５", "٥٢٩٩٨٢٢٤٧٢٥", "529.982.247‑25", "12ABC34501DE3５", "12ſBC34501DE35",
        "12ıBC34501DE35", "１２ABC34501DE35", "12ÁBC34501DE35", "12АВС34501DE35", "5299822472\u200b5",
        "52998224725\x00", "+5299822472", "5.29982247E10", "0x529982247",
    ],
)  # fmt: skip
def test_what_is_not_exactly_a_tax_number_is_refused(text: str) -> None:
    """Nothing is padded, stripped or converted until it fits."""
    with pytest.raises(Invalid) as caught:
        TaxNumber.parse(text)
    assert caught.value.code == "invalid-tax-number"


@pytest.mark.parametrize("given_value", [52998224725, None, b"52998224725", ["52998224725"]])
def test_a_tax_number_comes_as_text(given_value: object) -> None:
    """As a number it would have lost its zeros in front."""
    with pytest.raises(Invalid):
        TaxNumber.parse(given_value)  # type: ignore[arg-type]


@given(CPFS)
def test_every_cpf_reads_back_from_both_forms_and_stdnum_agrees(number: str) -> None:
    """Number, mask and a second opinion."""
    tax_number = TaxNumber.parse(number)
    assert tax_number.kind == "cpf"
    assert tax_number.number == number
    assert TaxNumber.parse(tax_number.masked) == tax_number
    assert cpf.is_valid(number)
    assert cpf.format(number) == tax_number.masked


@given(CNPJS)
def test_every_cnpj_reads_back_from_both_forms_and_stdnum_agrees(number: str) -> None:
    """In either case of its letters."""
    tax_number = TaxNumber.parse(number)
    assert tax_number.kind == "cnpj"
    assert tax_number.number == number
    assert tax_number.cnpj_root == number[:8]
    assert TaxNumber.parse(tax_number.masked) == TaxNumber.parse(number.lower()) == tax_number
    # stdnum refuses any number that begins with twelve zeros; so few that the two never differ here.
    assert cnpj.is_valid(number)
    assert cnpj.format(number) == tax_number.masked


@given(st.one_of(CPFS, CNPJS), st.data())
def test_one_wrong_character_is_noticed_whenever_the_method_can(number: str, data: st.DataObject) -> None:
    """We refuse exactly what stdnum refuses."""
    place = data.draw(st.integers(0, len(number) - 1))
    wrong = data.draw(st.sampled_from(string.digits + string.ascii_uppercase))
    changed = number[:place] + wrong + number[place + 1 :]
    assume(len(set(changed)) > 1)
    oracle = cpf if len(number) == 11 else cnpj
    try:
        TaxNumber.parse(changed)
    except Invalid:
        # stdnum would take letters for check digits if the arithmetic could ever produce them; it cannot.
        assert not oracle.is_valid(changed)
    else:
        assert oracle.is_valid(changed)


@given(st.text(max_size=20))
def test_any_text_is_a_valid_number_or_refused(text: str) -> None:
    """There is no third outcome."""
    try:
        tax_number = TaxNumber.parse(text)
    except Invalid:
        return
    assert text.isascii()
    assert tax_number.number.isalnum()


@given(st.one_of(CPFS, CNPJS))
def test_logs_do_not_learn_the_number(number: str) -> None:
    """Neither repr nor str shows more than the kind and two digits."""
    tax_number = TaxNumber.parse(number)
    expected = f"TaxNumber({tax_number.kind} …{number[-2:]})"
    assert repr(tax_number) == str(tax_number) == f"{tax_number}" == expected


@given(st.one_of(CPFS, CNPJS), st.one_of(CPFS, CNPJS))
def test_equality_is_that_of_the_normalised_number(one: str, other: str) -> None:
    """And so is the hash."""
    assert (TaxNumber(one) == TaxNumber(other)) == (one == other)
    assert len({TaxNumber(one), TaxNumber(one.lower())}) == 1
    assert TaxNumber(one) != one


def test_a_tax_number_cannot_be_changed_but_copied() -> None:
    """Copies and travellers between processes are equal to the original."""
    tax_number = TaxNumber.parse("529.982.247-25")
    with pytest.raises(AttributeError):
        tax_number._number = "1"
    with pytest.raises(AttributeError):
        del tax_number._number
    assert copy.deepcopy(tax_number) == tax_number
    assert pickle.loads(pickle.dumps(tax_number)) == tax_number  # noqa: S301 - our own bytes
