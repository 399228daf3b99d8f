"""`ccontrol projections rebuild`, `compare`, `promote`, `rollback`: beside what is served, and reversible."""

import sys
from typing import Annotated, Any

import typer

from runtime.cli import instance, output
from runtime.cli.awaiting import awaited
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format, Output
from runtime.cli.projection_acts import Name, actor, unknown
from runtime.cli.rebuild_words import Done, finish, sentence, stop
from runtime.cli.rebuild_work import choose, do_each

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")]
Every = Annotated[bool, typer.Option("--all", help="All of them, one after the other.")]
Workers = Annotated[int, typer.Option("--jobs", min=1, max=64, help="Partitions folded side by side.")]
Sample = Annotated[int, typer.Option("--sample", min=0, max=100_000, help="Differing rows to look for.")]
Limit = Annotated[
    int,
    typer.Option(
        "--max-commit-ms", min=0, help="Pause while others' commits take longer than this; 0: never."
    ),
]
_PROMOTE = ("auto", "ask", "never", "equal", "always")


def rebuild(
    names: Names = None,
    every: Every = False,
    start: Annotated[
        int | None, typer.Option("--from", help="0: build anew from the first event, keeping nothing.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, max=100_000, help="Events in one transaction.")
    ] = None,
    jobs: Workers = 2,
    promote: Annotated[
        str,
        typer.Option(
            "--promote", help="auto; ask, when the comparison is there; equal, if nothing differs; never."
        ),
    ] = "auto",
    sample: Sample = 1000,
    limit: Limit = 250,
    detach: Annotated[
        bool, typer.Option("--detach", help="Let the projector do it, and come back at once.")
    ] = False,
    output_format: Output = Format.TABLE,
) -> int:
    """Build projections anew beside those served, compare, and switch. Nothing stops meanwhile.

    \b
    Examples
      ccontrol projections rebuild ledger_lines
      ccontrol projections rebuild --all --promote ask
      ccontrol projections rebuild audit_events --detach

    Interrupted or killed, it goes on where it stopped when it is called again. What was served before is
    kept for seven days: ccontrol projections rollback NAME.
    """
    if promote not in _PROMOTE:
        raise usage("--promote is auto, ask, never or equal")
    if start not in (None, 0):
        message = f"a projection built from position {start} on would lack what came before it"
        raise Stop(Exit.REFUSED, "not-from-there", message, "only --from 0 is possible: everything anew")
    if promote == "ask" and detach:
        raise usage("--promote ask needs somebody who is asked: not with --detach")
    options: dict[str, Any] = {"jobs": jobs, "sample_rows": sample, "promote": _PROMISES[promote]}
    options |= {"batch": batch, "anew": start == 0, "commit_seconds_max": limit / 1000 if limit else None}
    if detach:
        return _detach(names, every, options, output_format)
    done = do_each(names, every, "rebuild", options, output_format)
    if promote == "ask":
        _ask_and_promote(done, output_format)
    notes = [
        output.warning("differences", sentence(each), subject=each["name"])
        for each in done.finished
        if each["equal"] is False
    ]
    waiting = [each["name"] for each in done.finished if not each["promoted"]]
    notes += [
        {
            "level": "info",
            "code": "not-promoted",
            "subject": name,
            "message": f"{name} is built, and what was served before is served",
            "hint": f"ccontrol projections promote {name}",
        }
        for name in waiting
    ]
    ended = Exit.FOUND if waiting and promote == "equal" else Exit.DONE
    ended = Exit.REFUSED if waiting and promote == "ask" else ended
    return finish("rebuild", done, output_format, notes, ended)


_PROMISES = {"auto": "always", "always": "always", "equal": "equal", "never": "never", "ask": "never"}


def compare(
    names: Names = None,
    every: Every = False,
    jobs: Workers = 2,
    sample: Sample = 1000,
    limit: Limit = 250,
    output_format: Output = Format.TABLE,
) -> int:
    """Hold what is served against a fresh fold of the log, which is then thrown away."""
    options = {
        "jobs": jobs,
        "sample_rows": sample,
        "commit_seconds_max": limit / 1000 if limit else None,
    }
    done = do_each(names, every, "compare", options, output_format)
    notes = [
        output.warning(
            "differences" if each["equal"] is False else "not-comparable",
            sentence(each),
            subject=each["name"],
            hint=f"ccontrol projections rebuild {each['name']}",
        )
        for each in done.finished
        if not each["equal"]
    ]
    return finish("compare", done, output_format, notes, Exit.FOUND if notes else Exit.DONE)


def promote(name: Name, jobs: Workers = 2, output_format: Output = Format.TABLE) -> int:
    """Serve what `rebuild --promote never` has built. What is served now is kept."""
    done = do_each([name], False, "promote", {"jobs": jobs}, output_format)
    return finish("promote", done, output_format, [], Exit.DONE)


def rollback(name: Name, output_format: Output = Format.TABLE) -> int:
    """Serve the generation before the last switch again, at once."""
    done = do_each([name], False, "rollback", {}, output_format)
    if done.broken:
        raise stop(name, done.broken[0][1], "rollback")
    generation = done.finished[0]["generation"]
    output.answer(
        output_format,
        "projections.rollback",
        {"name": name, "generation": generation},
        show=lambda: output.line(f"{name} serves generation {generation} again"),
    )
    return Exit.DONE


def _detach(names: list[str] | None, every: bool, options: dict[str, Any], output_format: Format) -> int:
    from projections.catalogue import PROJECTIONS
    from projections.jobs import JobRunning
    from projections.premises import UnknownProjection
    from runtime.projection_words import told_job
    from runtime.projection_work import new_job_id, open_jobs
    from write_model.values.identifiers import encode

    chosen = choose(names, every, [kind.name for kind in PROJECTIONS])
    asked: list[dict[str, Any]] = []

    async def ask() -> None:
        async with open_jobs(instance.settings()) as jobs:
            for name in chosen:
                try:
                    asked.append(told_job(await jobs.add(new_job_id(), "rebuild", name, options, actor())))
                except JobRunning as running:
                    busy = f"somebody else is rebuilding or comparing {name}"
                    job = encode("job", running.job_id)
                    raise Stop(Exit.CONFLICT, "busy", busy, f"ccontrol jobs show {job}") from None
                except UnknownProjection:
                    raise unknown(name) from None

    awaited(ask())
    output.answer(
        output_format,
        "projections.rebuild",
        {"jobs": asked},
        show=lambda: output.table(
            None, ("id", "projection"), [(job["id"], job["projection"]) for job in asked]
        ),
        records="jobs",
    )
    output.note("the projector does it; follow it with: ccontrol jobs show JOB")
    return Exit.DONE


def _ask_and_promote(done: Done, output_format: Format) -> None:
    """Show what differs, and ask; without a terminal nobody can be asked, and nothing is promoted."""
    if not sys.stdin.isatty():
        return
    for each in done.finished:
        differs = "nothing differs" if each["equal"] else sentence(each)
        if typer.confirm(f"{each['name']}: {differs}. Serve the new one?"):
            promoted = do_each([each["name"]], False, "promote", {}, output_format)
            done.broken += promoted.broken
            each["promoted"] = not promoted.broken
