"""`--json f1,f2`: every command with data has it, and none has to say so."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from runtime.cli import records
from runtime.cli.outcome import usage
from runtime.cli.output import Format

_FORMAT = "output_format"
_FIELDS = "json_fields"
_Fields = Annotated[
    str | None,
    typer.Option("--json", metavar="F1,F2", help="Only these fields; JSON unless -o says otherwise."),
]


def offer(app: typer.Typer) -> None:
    """To every command of the tree that has `-o`."""
    for command in app.registered_commands:
        if command.callback is not None and _FORMAT in inspect.signature(command.callback).parameters:
            command.callback = _choosing(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            offer(group.typer_instance)


def _choosing(command: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(command)
    def choosing(**given: Any) -> Any:
        wanted = given.pop(_FIELDS)
        fields = None if wanted is None else [name.strip() for name in wanted.split(",")]
        if fields is not None and not all(fields):
            raise usage("--json names fields, with a comma between them")
        if fields is not None and given[_FORMAT] is Format.TABLE:
            given[_FORMAT] = Format.JSON
        records.choose(fields)
        return command(**given)

    signature = inspect.signature(command)
    option = inspect.Parameter(_FIELDS, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Fields)
    choosing.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), option]
    )
    choosing.__annotations__ = {**command.__annotations__, _FIELDS: _Fields}
    return choosing
