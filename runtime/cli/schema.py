"""`ccontrol schema`: the promised shape of what a command answers with `-o json`."""

import sys
from importlib.resources import files
from typing import Annotated

import typer

from runtime.cli.outcome import Exit, Stop

_SUFFIX = ".json"


def schema(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="projections status")
    ] = None,
) -> None:
    """Print the JSON Schema of a command's answer; without one, the commands that have one.

    \b
    Example
      ccontrol schema projections status > status.schema.json
    """
    if not command:
        sys.stdout.write("".join(f"{name.replace('.', ' ')}\n" for name in known()))
        return
    name = ".".join(command)
    if name not in known():
        raise Stop(
            Exit.NOT_FOUND, "schema-unknown", f"no command {' '.join(command)} answers", "ccontrol schema"
        )
    sys.stdout.write(text_of(name))


def known() -> list[str]:
    """The commands, as they are named in their answers."""
    folder = files("runtime.cli").joinpath("schemas")
    return sorted(each.name.removesuffix(_SUFFIX) for each in folder.iterdir() if each.name.endswith(_SUFFIX))


def text_of(command: str) -> str:
    """The schema of one of them. Of `events.tail` it is that of each line, as the log is no single object."""
    return files("runtime.cli").joinpath("schemas", command + _SUFFIX).read_text(encoding="utf-8")
