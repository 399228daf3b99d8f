"""A command named in a body: what the generic door takes, and what a batch is made of.

{"topic": "sales.confirm_sale", "target": "sal_…", "idempotency_key": "…", "body": {…},
 "effective_date": "2026-11-23", "reason": "…", "expected_version": 4}
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from api.desk import Handed
from api.envelope import Envelope, checked_key
from api.field_errors import problem_of_validation, validation_problem
from api.forms import EFFECTIVE_DATE, REASON, Form
from api.problems import Problem, field_error
from api.wire import STRICT

_VERSION_MAX = 2_000_000_000


class CommandItem(BaseModel):
    """A command named in a body; `body` is the same object its own route takes."""

    model_config = STRICT

    topic: Annotated[str, Field(max_length=100)] | None = None
    target: Annotated[str, Field(max_length=100)] | None = None
    idempotency_key: Annotated[str, Field(max_length=255)] | None = None
    body: dict[str, Any] = {}
    # Checked with the rest of the body, where they may stand as well.
    effective_date: Any = None
    reason: Any = None
    expected_version: Annotated[int, Field(ge=0, le=_VERSION_MAX)] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One of them, read; `pointer` is where it stood."""

    given: CommandItem
    topic: str
    pointer: str

    @classmethod
    def read(cls, body: Any, *, topic: str | None = None, pointer: str = "") -> "Item":
        """From decoded JSON; `topic` when the path names it already."""
        try:
            given = CommandItem.model_validate(body)
        except ValidationError as error:
            raise problem_of_validation(error, pointer) from None
        if (given.topic is None) == (topic is None):
            code, message = ("required", "This field is required.")
            if topic is not None:
                code, message = ("given-twice", "The path names the command.")
            raise validation_problem([field_error(f"{pointer}/topic", code, message)])
        return cls(given, given.topic or topic or "", pointer)

    def form_of(self, forms: Mapping[str, Form]) -> Form:
        """The form of the command it names."""
        form = forms.get(self.topic)
        if form is None:
            error = field_error(f"{self.pointer}/topic", "unknown-topic", "There is no such command.")
            raise validation_problem([error])
        return form

    def handed(self, form: Form) -> Handed:
        """The filled-in form, its day and reason moved to where every form has them."""
        body = dict(self.given.body)
        for name in (EFFECTIVE_DATE, REASON):
            value = getattr(self.given, name)
            if value is None:
                continue
            if name in body:
                error = field_error(f"{self.pointer}/{name}", "given-twice", "It is given twice.")
                raise validation_problem([error])
            body[name] = value
        return Handed(
            form=form,
            body=body,
            target=self.given.target,
            body_pointer=f"{self.pointer}/body",
            target_pointer=f"{self.pointer}/target",
        )

    def envelope(self, outer: Envelope) -> Envelope:
        """The envelope of this command: its own key and version, or those of the headers."""
        key = outer.key
        if self.given.idempotency_key is not None:
            own = checked_key(self.given.idempotency_key)
            if key not in (None, own):
                raise Problem("malformed-header", params={"header": "Idempotency-Key"})
            key = own
        version = self.given.expected_version
        if version is None:
            return replace(outer, key=key)
        if outer.expected_version is not None:
            raise Problem("malformed-header", params={"header": "If-Match"})
        return replace(outer, key=key, expected_version=version)
