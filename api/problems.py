"""Every refusal as RFC 9457 `application/problem+json`, from one registry.

    Problem                     what a door itself refuses: raise it anywhere, with a code of `problem_kinds`
    Refusal of the write model  status by family: NotFound 404, StateConflict, Duplicate and PeriodClosed
                                409, RuleBroken 422, CompanyIsSuspended 403
    Invalid value               422 with a JSON pointer

Only this module knows which status a reason has. The input is never echoed: a problem carries codes,
limits and public facts.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from starlette.responses import Response

from api.field_words import PORTUGUESE
from api.problem_kinds import KINDS, Kind
from write_model.companies.company import CompanyIsSuspended
from write_model.message import Duplicate, NotFound, PeriodClosed, Refusal, StateConflict, refusal_code

__all__ = ["KINDS", "Kind", "Problem", "ProblemResponse", "field_error", "problem_of", "refusal_kinds"]

_FAMILIES: tuple[tuple[type[Refusal], int], ...] = (
    (CompanyIsSuspended, 403),
    (NotFound, 404),
    (StateConflict, 409),
    (Duplicate, 409),
    (PeriodClosed, 409),
    (Refusal, 422),
)
# Facts such as amounts, days, states and codes. Anything else may be what a stranger typed.
_PUBLIC = re.compile(r"[\w.:,/+-]{0,80}", re.ASCII)

FieldError = dict[str, Any]


class Problem(Exception):
    """What a door refuses, by its code. Never carries anything that came with the request."""

    def __init__(
        self,
        code: str,
        *,
        params: Mapping[str, str] | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        actions: Sequence[Mapping[str, str]] = (),
        kind: Kind | None = None,
        **extra: object,
    ) -> None:
        super().__init__(code)
        self.kind = kind or KINDS[code]
        self.params = dict(params or {})
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.actions = list(actions)
        self.extra = extra

    @property
    def code(self) -> str:
        """What clients branch on."""
        return self.kind.code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.kind.status

    def body(self, language: str, request_id: str | None = None) -> dict[str, Any]:
        """The problem as a client sees it."""
        title = self.kind.en if language == "en" else self.kind.pt
        body: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": title,
            "status": self.status,
            "code": self.code,
            "retryable": self.kind.retryable,
        }
        if request_id is not None:
            body["instance"] = f"/v1/requests/{request_id}"
            body["request_id"] = request_id
        errors = self.errors if language == "en" else [_in_portuguese(entry) for entry in self.errors]
        lists = {"params": self.params, "errors": errors, "actions": self.actions}
        return body | {name: value for name, value in lists.items() if value} | self.extra


class ProblemResponse(Response):
    """A problem on its way out."""

    def __init__(self, problem: Problem, *, language: str, request_id: str | None) -> None:
        headers = {"Content-Language": language, **problem.headers}
        body = json.dumps(problem.body(language, request_id), ensure_ascii=False).encode()
        super().__init__(body, problem.status, headers, "application/problem+json")


def problem_of(refusal: Refusal) -> Problem:
    """What a refusal of the write model is at the door."""
    kind = kind_of(type(refusal))
    params = {name: value for name, value in refusal.params.items() if _PUBLIC.fullmatch(value)}
    return Problem(kind.code, kind=kind, params=params)


def kind_of(refusal: type[Refusal]) -> Kind:
    """The registry entry of a refusal: its own words, its family's status."""
    status = next(status for family, status in _FAMILIES if issubclass(refusal, family))
    doc = (refusal.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return Kind(refusal_code(refusal), status, refusal.pt, doc)


def refusal_kinds() -> dict[str, Kind]:
    """What the business can refuse with, by code; complete once the commands are loaded."""
    return {kind.code: kind for kind in map(kind_of, _descendants(Refusal))}


def field_error(pointer: str, code: str, message: str, params: Mapping[str, str] | None = None) -> FieldError:
    """One entry of `errors`; the pointer is RFC 6901 into the body that was sent."""
    found: FieldError = {"pointer": pointer, "code": code, "message": message}
    if params:
        found["params"] = dict(params)
    return found


def _in_portuguese(entry: FieldError) -> FieldError:
    words = PORTUGUESE.get(entry["code"])
    return entry if words is None else entry | {"message": words}


def _descendants(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)
