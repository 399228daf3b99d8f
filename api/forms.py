"""The form of a command: its request model, made from its fields, and the way from JSON to the command.

One form serves every door of a command: its own route, the generic one, and batches.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import date
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from api import strict_json
from api.examples import example_of
from api.field_errors import problem_of_validation, validation_problem
from api.problems import Problem, field_error
from api.services import Ids
from api.wire import STRICT, field_definitions, wire_type
from write_model.message import Command, CommandType
from write_model.values.identifiers import CompanyId
from write_model.values.limits import Length

EFFECTIVE_DATE, REASON = "effective_date", "reason"
_Reason = Annotated[str, Length(500)]
_NEVER_GIVEN: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command as it was asked for, with its envelope. `text` is what makes two requests the same."""

    command: Command
    effective_date: date | None
    reason: str | None
    text: str


class Form:
    """How one command is filled in."""

    def __init__(self, meta: CommandType) -> None:
        self.meta = meta
        self.target_in_path = f"{{{meta.target}}}" in meta.route
        hints = get_type_hints(meta.command, include_extras=True)
        # A new company's id follows from who asks and under which key, so nobody can choose another's.
        self.makes_company = meta.needs == "new" and hints[meta.target] is CompanyId
        self.model = _model(meta, with_target=not (self.target_in_path or self.makes_company))
        self._target: TypeAdapter[Any] = TypeAdapter(wire_type(hints[meta.target]))
        self.field_names = tuple(item.name for item in fields(meta.command))  # type: ignore[arg-type]
        self._takes_new_id = meta.needs == "new" and _has_no_default(meta)

    @property
    def topic(self) -> str:
        """The command's name in every door."""
        return self.meta.topic

    def read(
        self, body: Any, target: str | None, ids: Ids, *, target_pointer: str | None = None, prefix: str = ""
    ) -> Request:
        """From decoded JSON to the command; raises Problem.

        `target` comes from the path or from a generic door. In the path an impossible one is a 404, as
        there can be no such thing; elsewhere `target_pointer` says where it stands.
        """
        if not isinstance(body, dict):
            raise validation_problem([field_error(prefix, "invalid-type", "The body must be an object.")])
        rest, name = dict(body), self.meta.target
        if not self.target_in_path and target is not None and name in rest:
            raise validation_problem([field_error(f"{prefix}/{name}", "given-twice", "It is given twice.")])
        values = self._validated(rest, prefix)
        effective_date, reason = values.pop(EFFECTIVE_DATE, None), values.pop(REASON, None)
        self._check_days(values, effective_date, prefix)
        given = rest.pop(name, None) if not self.target_in_path else None
        text = strict_json.canonical([self.topic, target if given is None else given, rest])
        if target is not None:
            values[name] = self._target_of(target, target_pointer)
        elif values.get(name, _NEVER_GIVEN) is None and self._takes_new_id:
            values[name] = ids.new()
        if self.target_in_path and name not in values:
            pointer = target_pointer or f"{prefix}/{name}"
            raise validation_problem([field_error(pointer, "required", "This field is required.")])
        if self.makes_company:
            values.setdefault(name, ids.new())
        return Request(
            command=self.meta.command(**values), effective_date=effective_date, reason=reason, text=text
        )

    def example(self) -> dict[str, Any]:
        """A body that fits."""
        without = frozenset({self.meta.target}) if self.target_in_path or self._takes_new_id else frozenset()
        body = example_of(self.meta.command, without=without)
        if self.meta.needs_reason:
            body[REASON] = "Pedido do cliente"
        return body

    def target_example(self) -> Any:
        """A target that fits."""
        return example_of(self.meta.command)[self.meta.target]

    def target_schema(self) -> dict[str, Any]:
        """The JSON schema of the target."""
        return self._target.json_schema()

    def _validated(self, body: dict[str, Any], prefix: str) -> dict[str, Any]:
        try:
            return dict(self.model.model_validate(body).__dict__)
        except ValidationError as error:
            raise problem_of_validation(error, prefix) from None

    def _target_of(self, text: str, pointer: str | None) -> Any:
        try:
            return self._target.validate_python(text)
        except ValidationError as error:
            if pointer is None:
                raise Problem("not-found") from None
            raise problem_of_validation(error, pointer) from None

    def _check_days(self, values: Mapping[str, Any], effective_date: date | None, prefix: str) -> None:
        named = self.meta.dated_by
        if named is None or effective_date is None or values.get(named) in (None, effective_date):
            return
        message = f"The day of this command is `{named}`; leave one of them out."
        raise validation_problem([field_error(f"{prefix}/{EFFECTIVE_DATE}", "given-twice", message)])


def _model(meta: CommandType, *, with_target: bool) -> type[BaseModel]:
    definitions = field_definitions(meta.command)
    kind, default = definitions.pop(meta.target)
    if with_target:
        if meta.needs == "new" and default is ...:
            kind, default = _optional(kind), None
        definitions[meta.target] = (kind, default)
    reason = wire_type(_Reason)
    definitions[EFFECTIVE_DATE] = (_optional(wire_type(date)), None)
    definitions[REASON] = (reason, ...) if meta.needs_reason else (_optional(reason), None)
    name = meta.command.__name__
    return create_model(name, __config__=STRICT, __doc__=(meta.command.__doc__ or "").strip(), **definitions)


def _optional(kind: Any) -> Any:
    return kind | None


def _has_no_default(meta: CommandType) -> bool:
    return any(item.name == meta.target and item.default is MISSING for item in fields(meta.command))  # type: ignore[arg-type]
