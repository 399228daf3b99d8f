"""The number a person (CPF) or a company (CNPJ) has at the Brazilian revenue.

A CNPJ may have letters in its first twelve places (IN RFB 2.229/2024, issued since July 2026), so a number
is text from end to end: it is never turned into an integer, padded, or cleaned of what does not fit.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NoReturn, final

from write_model.values.invalid import Invalid

TaxNumberKind = Literal["cpf", "cnpj"]

_CPF: Final = re.compile(r"[0-9]{11}|[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}")
# ASCII letters of both cases are spelled out: re.IGNORECASE and str.upper() would let dotless i become I.
_CNPJ: Final = re.compile(
    r"[0-9A-Za-z]{12}[0-9]{2}"
    r"|[0-9A-Za-z]{2}\.[0-9A-Za-z]{3}\.[0-9A-Za-z]{3}/[0-9A-Za-z]{4}-[0-9]{2}"
)
_WITHOUT_MASK: Final = str.maketrans("", "", "./-")


def cpf_check_digits(base: str) -> str:
    """Return the two check digits of the first nine digits of a CPF."""
    return _two_check_digits(base, weight_max=11)


def cnpj_check_digits(base: str) -> str:
    """Return the two check digits of the first twelve characters (upper case) of a CNPJ."""
    return _two_check_digits(base, weight_max=9)


def _two_check_digits(base: str, weight_max: int) -> str:
    first = _check_digit(base, weight_max)
    return first + _check_digit(base + first, weight_max)


def _check_digit(text: str, weight_max: int) -> str:
    """Weigh the characters from the right by 2, 3, … up to the largest weight and again; modulo 11."""
    weights_count = weight_max - 1
    total = sum((ord(c) - 48) * (2 + place % weights_count) for place, c in enumerate(reversed(text)))
    rest = total % 11
    return "0" if rest < 2 else str(11 - rest)


@final
class TaxNumber:
    """A valid CPF or CNPJ in its normalised form: no mask, letters in upper case.

    Personal data: neither ``repr()`` nor ``str()`` shows it. Ask for ``number`` or ``masked`` where it is
    really meant to be written.
    """

    __slots__ = ("_number",)

    _number: str

    def __init__(self, text: str) -> None:
        """Take a number with its whole mask or with none; both check digits must be right."""
        if not isinstance(text, str):
            raise _invalid()
        if _CPF.fullmatch(text):
            number = text.translate(_WITHOUT_MASK)
            expected = cpf_check_digits(number[:9])
        elif _CNPJ.fullmatch(text):
            number = text.translate(_WITHOUT_MASK).upper()
            expected = cnpj_check_digits(number[:12])
        else:
            raise _invalid()
        # Numbers such as 111.111.111-11 pass the arithmetic but are never issued.
        if number[-2:] != expected or len(set(number)) == 1:
            raise _invalid()
        object.__setattr__(self, "_number", number)

    @classmethod
    def parse(cls, text: str) -> TaxNumber:
        """Read ``529.982.247-25``, ``12.ABC.345/01DE-35`` or either without its mask."""
        return cls(text)

    @property
    def number(self) -> str:
        """The normalised text: eleven or fourteen characters."""
        return self._number

    @property
    def kind(self) -> TaxNumberKind:
        """Whether this belongs to a person or to a company."""
        return "cpf" if len(self._number) == 11 else "cnpj"

    @property
    def masked(self) -> str:
        """The whole number with the usual punctuation; nothing of it is hidden."""
        n = self._number
        if len(n) == 11:
            return f"{n[:3]}.{n[3:6]}.{n[6:9]}-{n[9:]}"
        return f"{n[:2]}.{n[2:5]}.{n[5:8]}/{n[8:12]}-{n[12:]}"

    @property
    def cnpj_root(self) -> str | None:
        """The eight characters all branches of one company share; a CPF has none."""
        return self._number[:8] if len(self._number) == 14 else None

    def __repr__(self) -> str:
        return f"TaxNumber({self.kind} …{self._number[-2:]})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaxNumber):
            return NotImplemented
        return self._number == other._number

    def __hash__(self) -> int:
        return hash((TaxNumber, self._number))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("TaxNumber is immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("TaxNumber is immutable")

    def __reduce__(self) -> tuple[type[TaxNumber], tuple[str]]:
        # Copying and pickling restore slots by assignment, which an immutable value forbids.
        return TaxNumber, (self._number,)


def _invalid() -> Invalid:
    return Invalid("invalid-tax-number", "This is not a valid CPF or CNPJ.")
