"""Saying what came of long work on projections: a table, differing rows, errors with what to do next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.cli import output
from runtime.cli.outcome import Exit, Stop
from runtime.cli.output import Format

_SAMPLE_SHOWN = 5


@dataclass
class Done:
    """What came of each projection."""

    finished: list[dict[str, Any]] = field(default_factory=list)
    broken: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def finish(
    act: str,
    done: Done,
    output_format: Format,
    notes: Sequence[output.Diagnostic],
    ended: Exit,
) -> int:
    """Say it. One that could not be done is an error of its own; some of several make it partly done."""
    if done.broken and not done.finished and len(done.broken) == 1:
        raise stop(done.broken[0][0], done.broken[0][1], act)
    errors = [
        {"level": "error", "code": why["code"], "subject": name, "message": why["message"]}
        for name, why in done.broken
    ]
    _answer(f"projections.{act}", done.finished, output_format, [*errors, *notes], ok=ended == Exit.DONE)
    if done.broken:
        output.note(f"not all is done; go on with: {again(act, done.left)}")
        return Exit.PARTLY
    return ended


def stop(name: str, why: Mapping[str, Any], act: str) -> Stop:
    """The end of a command that did one thing, and could not."""
    hints: dict[str, tuple[Exit, str]] = {
        "busy": (Exit.CONFLICT, f"ccontrol jobs list --projection {name}"),
        "unreachable": (Exit.UNREACHABLE, f"when it is there again: {again(act, [name])}"),
        "nothing-kept": (Exit.NOT_FOUND, f"ccontrol projections show {name}"),
        "nothing-built": (Exit.NOT_FOUND, f"ccontrol projections rebuild {name} --promote never"),
        "build-failed": (
            Exit.PARTLY,
            f"what was built is kept; mend the cause, then: {again(act, [name])}",
        ),
    }
    code, hint = hints.get(
        why["code"], (Exit.PARTLY, f"what was built is kept; go on with: {again(act, [name])}")
    )
    return Stop(code, why["code"], why["message"], hint)


def again(act: str, names: Sequence[str]) -> str:
    """The command that goes on with it."""
    return f"ccontrol projections {act} {' '.join(names)}"


def sentence(each: Mapping[str, Any]) -> str:
    """What a comparison has found, in one line."""
    if each["equal"] is None:
        return f"{each['name']}: what is served was not complete, so there was nothing to compare"
    parts = [
        f"{table['table']}: {table['rows_live']:,} rows served, {table['rows_fresh']:,} fresh"
        + (f", differing in {', '.join(table['columns_differing'])}" if table["columns_differing"] else "")
        for table in each["tables"]
        if not table["equal"]
    ]
    return f"{each['name']} differs from the log: {'; '.join(parts)}"


def _answer(
    command: str,
    done: Sequence[Mapping[str, Any]],
    output_format: Format,
    notes: Sequence[output.Diagnostic],
    *,
    ok: bool,
) -> None:
    def show() -> None:
        words = {True: "yes", False: "NO", None: "–"}
        rows = [
            (
                each["name"],
                each.get("generation", ""),
                words[each.get("promoted")],
                words[each["equal"]],
                f"{each['events']:,}",
                f"{each['events_per_second']:,.0f}",
            )
            for each in done
        ]
        columns = ("name", "generation", "promoted", "equal", "events", "events/s")
        output.table(None, columns, rows, right=("generation", "events", "events/s"))
        for each in done:
            for table in each["tables"]:
                for row in table["sample"][:_SAMPLE_SHOWN]:
                    output.line(f"  {table['table']} {row['key']}")
                    output.line(f"    served {row['live']}")
                    output.line(f"    fresh  {row['fresh']}")

    output.answer(
        output_format,
        command,
        {"projections": done},
        show=show,
        ok=ok,
        records="projections",
        diagnostics=notes,
    )
