"""The one error of the values: something that was given is not the value it claims to be.

A value never knows about documents or permissions, so it never refuses a decision; it only says that a
text, number or date cannot be what was asked for. ``code`` is stable and is what clients program against,
``message`` is for people, ``params`` carries limits and field names. None of them ever repeats the input:
it may be personal data, and it may be hostile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CODES: Final = frozenset(
    {
        "amount-negative",
        "amount-not-positive",
        "amount-out-of-range",
        "currency-mismatch",
        "date-out-of-range",
        "forbidden-character",
        "instalment-too-small",
        "invalid-amount",
        "invalid-currency",
        "invalid-date",
        "invalid-id",
        "invalid-instalments",
        "invalid-late-terms",
        "invalid-parts",
        "invalid-percentage",
        "invalid-period",
        "invalid-quantity",
        "invalid-tax-number",
        "invalid-text",
        "invalid-unit-price",
        "invalid-web-address",
        "invalid-weights",
        "quantity-out-of-range",
        "text-blank",
        "text-too-long",
        "text-too-short",
        "unit-price-out-of-range",
    }
)
"""Every code the values raise; a test compares this set with the source."""


class Invalid(ValueError):
    """What was given is not a value of the kind that was asked for."""

    code: str
    message: str
    params: dict[str, str]

    def __init__(self, code: str, message: str, params: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.params = dict(params or {})

    def __reduce__(self) -> tuple[type[Invalid], tuple[str, str, dict[str, str]]]:
        # The default would rebuild the error from its message alone and fail.
        return type(self), (self.code, self.message, self.params)
