"""`ccontrol projections rebuild`, `compare`, `promote`, `rollback`: beside what is served, and reversible."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli import instance, output
from runtime.cli.awaiting import awaited
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format, Output
from runtime.cli.projection_acts import Name, actor, unknown

if TYPE_CHECKING:
    from projections.building import Progress as Built
    from projections.jobs import Act
    from runtime.cli.progress import Progress
    from runtime.projection_work import Bench

_SAMPLE_SHOWN = 5
# Only to say beforehand whether it takes seconds or hours.
_USUAL_EVENTS_PER_SECOND = 15_000

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


@dataclass
class _Done:
    """What came of each projection."""

    finished: list[dict[str, Any]] = field(default_factory=list)
    broken: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


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
    done = _each(names, every, "rebuild", options, output_format)
    if promote == "ask":
        _ask_and_promote(done, output_format)
    notes = [
        output.warning("differences", _sentence(each), subject=each["name"])
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
    return _finish("rebuild", done, output_format, notes, ended)


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
    done = _each(names, every, "compare", options, output_format)
    notes = [
        output.warning(
            "differences" if each["equal"] is False else "not-comparable",
            _sentence(each),
            subject=each["name"],
            hint=f"ccontrol projections rebuild {each['name']}",
        )
        for each in done.finished
        if not each["equal"]
    ]
    return _finish("compare", done, output_format, notes, Exit.FOUND if notes else Exit.DONE)


def promote(name: Name, jobs: Workers = 2, output_format: Output = Format.TABLE) -> int:
    """Serve what `rebuild --promote never` has built. What is served now is kept."""
    done = _each([name], False, "promote", {"jobs": jobs}, output_format)
    return _finish("promote", done, output_format, [], Exit.DONE)


def rollback(name: Name, output_format: Output = Format.TABLE) -> int:
    """Serve the generation before the last switch again, at once."""
    done = _each([name], False, "rollback", {}, output_format)
    if done.broken:
        raise _stop(name, done.broken[0][1], "rollback")
    generation = done.finished[0]["generation"]
    output.answer(
        output_format,
        "projections.rollback",
        {"name": name, "generation": generation},
        show=lambda: output.line(f"{name} serves generation {generation} again"),
    )
    return Exit.DONE


# --- doing it ---------------------------------------------------------------------------------------------


def _each(
    names: list[str] | None, every: bool, act: "Act", options: dict[str, Any], output_format: Format
) -> _Done:
    """One projection after the other, each under its own bar. One that cannot be does not stop the others."""
    done = _Done()
    try:
        awaited(_do_each(names, every, act, options, output_format, done))
    except KeyboardInterrupt:
        raise Stop(
            Exit.INTERRUPTED,
            "interrupted",
            "interrupted; what was built is kept, and what was served is served",
            f"it goes on where it stopped with: {_again(act, done.left)}",
        ) from None
    return done


async def _do_each(
    names: list[str] | None,
    every: bool,
    act: "Act",
    options: dict[str, Any],
    output_format: Format,
    done: _Done,
) -> None:
    from projections.connections import is_transient
    from projections.jobs import JobRunning, told_failure
    from projections.premises import UnknownProjection
    from runtime.projection_work import open_bench
    from write_model.values.identifiers import encode

    expected = _expected()
    async with open_bench(instance.settings()) as bench:
        done.left = _chosen(names, every, list(bench.workshop.catalogue.kinds))
        await bench.register()
        if act in ("rebuild", "compare"):
            _estimate(len(done.left), await bench.events())
        for name in list(done.left):
            try:
                done.finished.append(await _do(bench, act, name, options, output_format))
                done.left.remove(name)
            except UnknownProjection:
                raise unknown(name) from None
            except JobRunning as running:
                busy = f"{encode('job', running.job_id)} is rebuilding or comparing {name} already"
                done.broken.append((name, {"code": "busy", "message": busy}))
            except expected as error:
                done.broken.append((name, told_failure(error)))
            except Exception as error:
                if not is_transient(error):
                    raise
                # Without the database none of the others can be done either.
                await bench.events()
                done.broken.append((name, told_failure(error)))


def _expected() -> tuple[type[Exception], ...]:
    """How work on a projection may end without being done."""
    from projections.building import BuildFailed
    from projections.crew import HelperDied
    from projections.jobs import JobCancelled, JobLost
    from projections.premises import RebuildBusy
    from projections.promotion import PromotionBlocked
    from projections.rebuild import NothingBuilt, NothingKept

    return (
        BuildFailed,
        HelperDied,
        JobCancelled,
        JobLost,
        PromotionBlocked,
        NothingBuilt,
        NothingKept,
        RebuildBusy,
    )


async def _do(
    bench: "Bench", act: "Act", name: str, options: dict[str, Any], output_format: Format
) -> dict[str, Any]:
    from runtime.cli.progress import progress
    from runtime.projection_words import told_comparison, told_outcome

    job = await bench.begin(act, name, options, actor())
    version = bench.workshop.catalogue.kinds[name].version
    if output_format is Format.JSONL:
        lines = _Lines()
        result, figures = await bench.do(job, lines.report), lines.figures
    else:
        with progress(f"{name}@{version}", 0, "events") as bar:
            shown = _Bar(bar)
            result, figures = await bench.do(job, shown.report), shown.figures
    if isinstance(result, int):
        return {"name": name, "generation": result}
    if act == "compare":
        return {"name": name, **told_comparison(result, rows=True), **figures()}
    return {"name": name, **told_outcome(result, rows=True), **figures()}


class _Figures:
    """Remembers what was reported last."""

    def __init__(self) -> None:
        self._last: Built | None = None

    def figures(self) -> dict[str, Any]:
        """How much it was, and how fast."""
        last = self._last
        return {
            "events": last.done if last else 0,
            "seconds": round(last.seconds, 3) if last else 0.0,
            "events_per_second": round(last.events_per_second, 1) if last else 0.0,
        }


class _Bar(_Figures):
    """Turns what a rebuild reports into a bar for people."""

    def __init__(self, bar: "Progress") -> None:
        super().__init__()
        self._bar = bar
        self._shown = 0

    def report(self, now: "Built") -> None:
        """Called several times a second."""
        self._bar.of(now.total)
        self._bar.done(now.done - self._shown)
        lag = "" if now.live_lag_seconds is None else f"   live lag {now.live_lag_seconds:.1f} s"
        waits = "" if now.waiting_for is None else f"   waits: {now.waiting_for}"
        self._bar.say(f"{now.phase}{lag}   serving @{now.serving}{waits}")
        if now.waiting_for not in (None, self._last and self._last.waiting_for):
            output.note(f"{now.projection} waits: {now.waiting_for}; it goes on by itself")
        self._shown, self._last = now.done, now


class _Lines(_Figures):
    """The same as lines of JSON on standard error, for scripts."""

    def report(self, now: "Built") -> None:
        """Called several times a second."""
        from runtime.projection_words import told_progress

        self._last = now
        sys.stderr.write(json.dumps({"progress": told_progress(now)}) + "\n")
        sys.stderr.flush()


def _estimate(count: int, events: int) -> None:
    seconds = count * events / _USUAL_EVENTS_PER_SECOND
    output.note(f"{count} to fold from {events:,} events, usually within {max(1, round(seconds)):,} s")


def _chosen(names: Sequence[str] | None, every: bool, known: list[str]) -> list[str]:
    if every == bool(names):
        raise usage("name projections, or say --all", f"there are: {', '.join(sorted(known))}")
    for name in names or ():
        if name not in known:
            raise unknown(name)
    return list(dict.fromkeys(names or known))


def _detach(names: list[str] | None, every: bool, options: dict[str, Any], output_format: Format) -> int:
    from projections.catalogue import PROJECTIONS
    from projections.jobs import JobRunning
    from projections.premises import UnknownProjection
    from runtime.projection_words import told_job
    from runtime.projection_work import new_job_id, open_jobs
    from write_model.values.identifiers import encode

    chosen = _chosen(names, every, [kind.name for kind in PROJECTIONS])
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


def _ask_and_promote(done: _Done, output_format: Format) -> None:
    """Show what differs, and ask; without a terminal nobody can be asked, and nothing is promoted."""
    if not sys.stdin.isatty():
        return
    for each in done.finished:
        differs = "nothing differs" if each["equal"] else _sentence(each)
        if typer.confirm(f"{each['name']}: {differs}. Serve the new one?"):
            promoted = _each([each["name"]], False, "promote", {}, output_format)
            done.broken += promoted.broken
            each["promoted"] = not promoted.broken


# --- what came of it --------------------------------------------------------------------------------------


def _finish(
    act: str,
    done: _Done,
    output_format: Format,
    notes: Sequence[output.Diagnostic],
    ended: Exit,
) -> int:
    """Say it. One that could not be done is an error of its own; some of several make it partly done."""
    if done.broken and not done.finished and len(done.broken) == 1:
        raise _stop(done.broken[0][0], done.broken[0][1], act)
    errors = [
        {"level": "error", "code": why["code"], "subject": name, "message": why["message"]}
        for name, why in done.broken
    ]
    _answer(f"projections.{act}", done.finished, output_format, [*errors, *notes], ok=ended == Exit.DONE)
    if done.broken:
        output.note(f"not all is done; go on with: {_again(act, done.left)}")
        return Exit.PARTLY
    return ended


def _stop(name: str, why: Mapping[str, Any], act: str) -> Stop:
    hints: dict[str, tuple[Exit, str]] = {
        "busy": (Exit.CONFLICT, f"ccontrol jobs list --projection {name}"),
        "unreachable": (Exit.UNREACHABLE, f"when it is there again: {_again(act, [name])}"),
        "nothing-kept": (Exit.NOT_FOUND, f"ccontrol projections show {name}"),
        "nothing-built": (Exit.NOT_FOUND, f"ccontrol projections rebuild {name} --promote never"),
        "build-failed": (
            Exit.PARTLY,
            f"what was built is kept; mend the cause, then: {_again(act, [name])}",
        ),
    }
    code, hint = hints.get(
        why["code"], (Exit.PARTLY, f"what was built is kept; go on with: {_again(act, [name])}")
    )
    return Stop(code, why["code"], why["message"], hint)


def _again(act: str, names: Sequence[str]) -> str:
    return f"ccontrol projections {act} {' '.join(names)}"


def _sentence(each: Mapping[str, Any]) -> str:
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
