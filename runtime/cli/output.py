"""What a command says: data on standard output, everything else on standard error.

A person gets tables and sentences; a script that asks with `-o json` gets one object of a promised shape,
with `-o jsonl` or `-o csv` one line per record.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli.records import Lines, choice, picked

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "ccontrol.cli/v1"
_WIDTH_WITHOUT_TTY = 10_000


class Format(StrEnum):
    """How data is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


Output = Annotated[Format, typer.Option("-o", "--output", help="table, json (one object), jsonl or csv.")]
"""The option every command with data has."""

Diagnostic = Mapping[str, object]
Row = Sequence[object]


def warning(code: str, message: str, *, subject: str | None = None, hint: str | None = None) -> Diagnostic:
    """Something a person or script should know beside the data."""
    found: dict[str, object] = {"level": "warning", "code": code, "message": message}
    if subject is not None:
        found["subject"] = subject
    if hint is not None:
        found["hint"] = hint
    return found


def envelope(
    command: str, data: Mapping[str, Any], *, ok: bool, diagnostics: Sequence[Diagnostic] = ()
) -> str:
    """The one object of `-o json`."""
    return json.dumps(
        {"schema": SCHEMA, "command": command, "ok": ok, "data": data, "diagnostics": list(diagnostics)},
        ensure_ascii=False,
        default=str,
    )


def answer(
    output: Format,
    command: str,
    data: Mapping[str, Any],
    *,
    show: Callable[[], None],
    ok: bool = True,
    records: str | None = None,
    diagnostics: Sequence[Diagnostic] = (),
) -> None:
    """Write the data of a command; `show` is for people, `records` names the list that goes line by line."""
    if output is Format.TABLE:
        show()
    elif output is Format.JSON:
        line(envelope(command, _chosen(data, records), ok=ok, diagnostics=diagnostics))
        return
    else:
        Lines(as_csv=output is Format.CSV).write([data] if records is None else data[records])
    for item in diagnostics:
        hint = f" ({item['hint']})" if "hint" in item else ""
        note(f"{item['level']}: {item['message']}{hint}")


def _chosen(data: Mapping[str, Any], records: str | None) -> Mapping[str, Any]:
    """All of it, unless fields were chosen: of the records, or where there are none of the data itself."""
    if not choice():
        return data
    return picked([data])[0] if records is None else {records: picked(data[records])}


def write_anything() -> None:
    """Show what cannot be written, as bytes of an argument that are no text, in its escaped form."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def line(text: str) -> None:
    """One line of data."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A sentence for whoever watches."""
    sys.stderr.write(f"ccontrol: {text}\n")
    sys.stderr.flush()


def table(
    title: str | None, columns: Sequence[str], rows: Iterable[Row], *, right: Iterable[str] = ()
) -> None:
    """Rows under their columns; those in `right` are numbers."""
    from rich import box
    from rich.table import Table

    right = set(right)
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else _plain(cell) for cell in row))
    console().print(made)


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair a line."""
    for name, value in pairs:
        console().print(f"[bold]{name}[/bold]  {_plain(value)}", highlight=False)


def console(*, stderr: bool = False) -> "Console":
    """Where people look; plain text without a terminal, and never truncated there."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Console(
        file=stream,
        no_color=plain or None,
        width=None if stream.isatty() else _WIDTH_WITHOUT_TTY,
        highlight=False,
        soft_wrap=not stream.isatty(),
    )


def _plain(cell: object) -> str:
    from rich.markup import escape

    return escape(str(cell))
