"""`ccontrol projections`: are the reports up to date, and can they be proved?"""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli import instance, moments, output, projection_acts, rebuilding
from runtime.cli.awaiting import awaited
from runtime.cli.outcome import Exit
from runtime.cli.output import Format, Output
from runtime.cli.projection_acts import Name, unknown

if TYPE_CHECKING:
    from projections.jobs import Job
    from projections.status import ProjectionStatus

app = typer.Typer(
    name="projections", help="Are the reports up to date, and can they be proved?", no_args_is_help=True
)

_WATCH_SECONDS = 2.0
_JOBS_SHOWN = 5
# What is said of a generation that waits for somebody, and what goes on with it.
_NEXT = {
    "built": ("not-promoted", "is built and waits to be promoted", "promote"),
    "unfinished": ("rebuild-unfinished", "is not finished, as its rebuild was interrupted", "rebuild"),
}


@app.command("list")
def list_(output_format: Output = Format.TABLE) -> None:
    """List every projection with what it serves."""
    found = _told(awaited(_statuses()))
    columns = ("name", "version", "generation", "lane", "klass", "state")
    output.answer(
        output_format,
        "projections.list",
        {"projections": found},
        show=lambda: output.table(None, columns, [[each[name] for name in columns] for each in found]),
        records="projections",
    )


@app.command()
def status(
    max_lag: Annotated[
        str | None, typer.Option("--max-lag", help="30s, 10m: end with 1 when one is further behind.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
    output_format: Output = Format.TABLE,
) -> int:
    """Show how far every projection is behind the log."""
    limit = None if max_lag is None else moments.duration(max_lag).total_seconds()
    ended = _status(limit, output_format)
    while watch:
        time.sleep(_WATCH_SECONDS)
        ended = _status(limit, output_format)
    return ended


def _status(limit: float | None, output_format: Format) -> int:
    found = _told(awaited(_statuses()))
    notes = [note for each in found for note in _notes(each, limit)]
    bad = [note for note in notes if note["level"] == "warning"]
    columns = ("name", "version", "state", "position", "head", "lag_events", "lag_seconds")

    def show() -> None:
        rows = [[each[name] for name in columns] for each in found]
        output.table(None, columns, rows, right=columns[3:])

    output.answer(
        output_format,
        "projections.status",
        {"projections": found},
        show=show,
        ok=not bad,
        records="projections",
        diagnostics=notes,
    )
    return Exit.FOUND if bad else Exit.DONE


@app.command()
def show(name: Name, output_format: Output = Format.TABLE) -> int:
    """Show all that is known of one projection: generations, failures, what was left out, and work on it."""
    found = next((each for each in _told(awaited(_statuses())) if each["name"] == name), None)
    if found is None:
        raise unknown(name)
    found["jobs"] = awaited(_jobs(name))
    notes = _notes(found, None)
    bad = [note for note in notes if note["level"] == "warning"]
    output.answer(
        output_format,
        "projections.show",
        found,
        show=lambda: _show(found),
        ok=not bad,
        diagnostics=notes,
    )
    return Exit.FOUND if bad else Exit.DONE


def _show(found: dict[str, Any]) -> None:
    lists = ("partitions", "generations", "failures", "skips", "acts", "jobs")
    output.fields((name, value) for name, value in found.items() if name not in lists and value is not None)
    for name in lists:
        rows = found[name]
        if rows:
            columns = [column for column in rows[0] if column not in ("options", "progress", "outcome")]
            output.table(name, columns, [[row[column] for column in columns] for row in rows])


def _notes(each: dict[str, Any], limit: float | None) -> list[output.Diagnostic]:
    """What an operator must know, and what to do about it."""
    name = each["name"]
    notes = [_stopped(name, failure) for failure in each["failures"]]
    if each["state"] == "blocked":
        message = f"{name} is {each['lag_events']:,} events behind and makes no progress"
        hint = "is a projector running (ccontrol ps)?"
        if each["lane"] == "redis":
            hint = "is a projector running (ccontrol ps), and does Redis take writes?"
        notes.append(output.warning("no-progress", message, subject=name, hint=hint))
    if each["state"] == "paused":
        message = f"{name} is paused: {each['reason']}"
        hint = f"ccontrol projections resume {name}"
        notes.append({"level": "info", "code": "paused", "message": message, "subject": name, "hint": hint})
    if each["waiting_for"]:
        message = f"the work on {name} waits: {each['waiting_for']}"
        notes.append(output.warning("work-waits", message, subject=name, hint="it goes on by itself then"))
    notes += [
        _waiting(name, generation) for generation in each["generations"] if generation["status"] in _NEXT
    ]
    if limit is not None and each["lag_seconds"] > limit:
        message = f"{name} is {each['lag_seconds']} s behind, more than {limit:g} s"
        notes.append(output.warning("lag-over-limit", message, subject=name))
    for skip in each["skips"]:
        message = (
            f"{name} leaves out position {skip['position']} of partition {skip['partition']}: "
            f"{skip['reason']} ({skip['actor']}, {skip['skipped_at']})"
        )
        notes.append({"level": "info", "code": "event-skipped", "message": message, "subject": name})
    return notes


def _waiting(name: str, generation: dict[str, Any]) -> output.Diagnostic:
    code, what, act = _NEXT[generation["status"]]
    said = f"generation {generation['generation']} of {name} {what}; what was served before is served"
    return {
        "level": "info",
        "code": code,
        "subject": name,
        "message": said,
        "hint": f"ccontrol projections {act} {name}",
    }


def _stopped(name: str, failure: dict[str, Any]) -> output.Diagnostic:
    return output.warning(
        "projection-failed",
        f"{name} stopped at position {failure['position']} of partition {failure['partition']}, "
        f"{failure['type'] or 'an unreadable event'} {failure['event_id'] or ''}: {failure['error']} "
        f"(code version {failure['code_version']}, first seen {failure['first_seen']})",
        subject=name,
        hint=f"mend the cause, then: ccontrol projections resume {name}",
    )


def _told(statuses: "list[ProjectionStatus]") -> list[dict[str, Any]]:
    from runtime.projection_words import told_projection

    return [told_projection(each) for each in statuses]


async def _statuses() -> "list[ProjectionStatus]":
    from projections.status import status
    from read_model.database import open_engine
    from runtime.projection_work import open_log

    settings = instance.settings()
    engine = open_engine(settings.database_url, pool_size=1)
    try:
        async with open_log(settings) as log:
            return await status(engine, log)
    finally:
        await engine.dispose()


async def _jobs(name: str) -> list[dict[str, Any]]:
    from runtime.projection_words import told_job
    from runtime.projection_work import open_jobs

    async with open_jobs(instance.settings()) as jobs:
        found: list[Job] = await jobs.latest(_JOBS_SHOWN, name)
    return [told_job(job) for job in found]


app.command("rebuild")(rebuilding.rebuild)
app.command("compare")(rebuilding.compare)
app.command("promote")(rebuilding.promote)
app.command("rollback")(rebuilding.rollback)
app.command("pause")(projection_acts.pause)
app.command("resume")(projection_acts.resume)
app.command("skip")(projection_acts.skip)
