"""What pydantic and the values complain about, as entries of `errors` that never show the input."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from api.problems import FieldError, Problem, field_error
from write_model.values.invalid import Invalid

_ERRORS_MAX = 20
# Names our own schemas could have; other keys came from outside and are not shown.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)

_WORDS = {
    "extra_forbidden": ("unknown-field", "There is no such field."),
    "missing": ("required", "This field is required."),
    "too_long": ("too-many-items", "There are too many items."),
}
_INVALID_TYPE = ("invalid-type", "The value is not of the expected type.")
# Codes that say more than "some fields are not valid" when every error has them.
_TELLING = ("unknown-field", "amount-out-of-range")


def problem_of_validation(error: ValidationError, prefix: str = "") -> Problem:
    """The 422 for a body that does not fit its model."""
    raw = error.errors(include_url=False, include_input=False)[:_ERRORS_MAX]
    return validation_problem([_entry(item, prefix) for item in raw])


def problem_of_invalid(invalid: Invalid, prefix: str = "") -> Problem:
    """The 422 for a value that a decision refused; `params["field"]` says which."""
    params = dict(invalid.params)
    field = params.pop("field", "")
    pointer = f"{prefix}/{field}" if field else prefix
    return validation_problem([field_error(pointer, invalid.code, invalid.message, params)])


def validation_problem(errors: Sequence[FieldError]) -> Problem:
    """One 422 over any number of fields, under the most telling code."""
    codes = {entry["code"] for entry in errors}
    code = next((code for code in _TELLING if codes == {code}), "validation-failed")
    return Problem(code, errors=errors)


def _entry(item: Any, prefix: str) -> FieldError:
    pointer = prefix + "".join(f"/{_shown(part)}" for part in item["loc"])
    context = item.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Invalid):
        return field_error(pointer, cause.code, cause.message, cause.params)
    kind: str = item["type"]
    if kind == "literal_error":
        known = {"known": str(context.get("expected", ""))}
        return field_error(pointer, "invalid-choice", "The value is not one of those known.", known)
    code, message = _WORDS.get(kind, _INVALID_TYPE)
    return field_error(pointer, code, message)


def _shown(part: Any) -> str:
    if isinstance(part, int) or _NAME.fullmatch(part):
        return str(part)
    return "*"
