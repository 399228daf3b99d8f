"""`ccontrol projections`: are the reports up to date, and can they be proved?"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from runtime.cli import instance, moments, output
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format, Output

if TYPE_CHECKING:
    from projections.building import Progress as Built
    from projections.comparison import Comparison
    from projections.rebuild import Workshop
    from projections.status import ProjectionStatus
    from runtime.cli.progress import Progress
    from runtime.settings import Settings
    from write_model.store.log import Log

app = typer.Typer(
    name="projections", help="Are the reports up to date, and can they be proved?", no_args_is_help=True
)

_SAMPLE_SHOWN = 5
T = TypeVar("T")
Name = Annotated[str, typer.Argument(metavar="NAME")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, max=64, help="Partitions folded side by side.")]


# --- looking ------------------------------------------------------------------------------------------


@app.command("list")
def list_(output_format: Output = Format.TABLE) -> None:
    """List every projection with what it serves."""
    found = [_described(each) for each in _awaited(_statuses())]
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
    output_format: Output = Format.TABLE,
) -> int:
    """Show how far every projection is behind the log."""
    limit = None if max_lag is None else moments.duration(max_lag).total_seconds()
    found = [_described(each) for each in _awaited(_statuses())]
    notes = []
    for each in found:
        if each["state"] == "failed":
            notes.append(_stopped(each))
        if limit is not None and each["lag_seconds"] > limit:
            message = f"{each['name']} is {each['lag_seconds']} s behind, more than {limit:g} s"
            notes.append(output.warning("lag-over-limit", message, subject=each["name"]))
    columns = ("name", "version", "state", "position", "head", "lag_events", "lag_seconds")

    def show() -> None:
        rows = [[each[name] for name in columns] for each in found]
        output.table(None, columns, rows, right=columns[3:])

    output.answer(
        output_format,
        "projections.status",
        {"projections": found},
        show=show,
        ok=not notes,
        records="projections",
        diagnostics=notes,
    )
    return Exit.FOUND if notes else Exit.DONE


def _stopped(each: dict[str, Any]) -> output.Diagnostic:
    first = each["failures"][0] if each["failures"] else {}
    return output.warning(
        "projection-failed",
        f"{each['name']} stopped at position {first.get('position')} of partition {first.get('partition')}: "
        f"{first.get('error')}",
        subject=each["name"],
        hint=f"ccontrol projections resume {each['name']}",
    )


def _awaited(work: Coroutine[Any, Any, T]) -> T:
    """The outcome of asynchronous work; imported here because help must not wait for it."""
    import asyncio

    return asyncio.run(work)


async def _statuses() -> "list[ProjectionStatus]":
    from projections.status import status
    from read_model.database import open_engine

    settings = instance.settings()
    engine = open_engine(settings.database_url, pool_size=1)
    try:
        async with _open_log(settings) as log:
            return await status(engine, log)
    finally:
        await engine.dispose()


def _described(each: "ProjectionStatus") -> dict[str, Any]:
    return {
        "name": each.name,
        "version": each.version,
        "state": each.state,
        "position": each.position,
        "head": each.head,
        "lag_events": each.lag_events,
        "lag_seconds": round(each.lag_seconds, 3),
        "generation": each.generation,
        "code_version": each.code_version,
        "lane": each.lane,
        "klass": each.klass,
        "reason": each.reason,
        "failures": [
            {
                "partition": failure.partition,
                "position": failure.position,
                "type": failure.topic,
                "error": failure.error,
                "tries": failure.tries,
                "last_seen": failure.last_seen.isoformat(),
            }
            for failure in each.failures
        ],
    }


# --- rebuilding and comparing -------------------------------------------------------------------------


@app.command()
def rebuild(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, one after the other.")] = False,
    jobs: Jobs = 2,
    promote: Annotated[
        str, typer.Option("--promote", help="always, equal (only if nothing differs), or never.")
    ] = "always",
    output_format: Output = Format.TABLE,
) -> int:
    """Build projections anew beside those served, compare, and switch. Nothing stops meanwhile."""
    if promote not in ("always", "equal", "never"):
        raise usage("--promote is always, equal or never")
    done: list[dict[str, Any]] = []

    async def work(workshop: "Workshop", name: str, bar: "_Bar") -> None:
        outcome = await workshop.rebuild(name, jobs=jobs, on_progress=bar.report, promote=promote)  # type: ignore[arg-type]
        done.append(
            {
                "name": name,
                "generation": outcome.generation,
                "promoted": outcome.promoted,
                **_compared(outcome.comparison),
                **bar.figures(),
            }
        )

    _for_each(names, every, "rebuild", work)
    left = [each["name"] for each in done if not each["promoted"] and promote == "equal"]
    notes = [
        output.warning("differences", _sentence(each), subject=each["name"])
        for each in done
        if each["equal"] is False
    ]
    _answer("projections.rebuild", done, output_format, notes, ok=not left)
    return Exit.FOUND if left else Exit.DONE


@app.command()
def compare(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, one after the other.")] = False,
    jobs: Jobs = 2,
    output_format: Output = Format.TABLE,
) -> int:
    """Hold what is served against a fresh fold of the log, which is then thrown away."""
    done: list[dict[str, Any]] = []

    async def work(workshop: "Workshop", name: str, bar: "_Bar") -> None:
        comparison = await workshop.compare(name, jobs=jobs, on_progress=bar.report)
        done.append({"name": name, **_compared(comparison), **bar.figures()})

    _for_each(names, every, "compare", work)
    notes = [
        output.warning(
            "differences" if each["equal"] is False else "not-comparable",
            _sentence(each),
            subject=each["name"],
            hint=f"ccontrol projections rebuild {each['name']}",
        )
        for each in done
        if not each["equal"]
    ]
    _answer("projections.compare", done, output_format, notes, ok=not notes)
    return Exit.FOUND if notes else Exit.DONE


class _Bar:
    """Turns what a rebuild reports into a bar, and remembers the figures."""

    def __init__(self, bar: "Progress") -> None:
        self._bar = bar
        self._shown = 0
        self._last: Built | None = None

    def report(self, now: "Built") -> None:
        """Called several times a second."""
        self._bar.of(now.total)
        self._bar.done(now.done - self._shown)
        self._bar.say(now.phase)
        self._shown, self._last = now.done, now

    def figures(self) -> dict[str, Any]:
        """How much it was, and how fast."""
        if self._last is None:
            return {"events": 0, "seconds": 0.0, "events_per_second": 0.0}
        last = self._last
        return {
            "events": last.done,
            "seconds": round(last.seconds, 3),
            "events_per_second": round(last.events_per_second, 1),
        }


def _for_each(
    names: list[str] | None,
    every: bool,
    verb: str,
    work: "Callable[[Workshop, str, _Bar], Any]",
) -> None:
    """One projection after the other, each under its own bar."""
    from projections.building import BuildFailed
    from projections.rebuild import RebuildBusy, UnknownProjection
    from runtime.cli.progress import progress

    async def run() -> None:
        async with _workshop() as workshop:
            known = workshop.catalogue.kinds
            for name in _chosen(names, every, list(known)):
                with progress(f"{name}@{known[name].version}", 0, "events") as bar:
                    await work(workshop, name, _Bar(bar))

    try:
        _awaited(run())
    except RebuildBusy as busy:
        message = f"somebody else is rebuilding or comparing {busy}"
        raise Stop(Exit.CONFLICT, "busy", message, "wait for it, then run this again") from None
    except UnknownProjection as unknown:
        raise _unknown(str(unknown)) from None
    except BuildFailed as failed:
        hint = "what was built is kept; mend the cause and run this again"
        raise Stop(Exit.FOUND, "build-failed", f"{failed}: {failed.__cause__}", hint) from None
    except KeyboardInterrupt:
        raise Stop(
            Exit.INTERRUPTED,
            "interrupted",
            "interrupted; what was built is kept, and what was served is served",
            f"run the same {verb} again: it goes on where it stopped",
        ) from None


@asynccontextmanager
async def _workshop() -> "AsyncIterator[Workshop]":
    from projections.rebuild import open_workshop

    settings = instance.settings()
    async with (
        _open_log(settings) as log,
        open_workshop(
            settings.database_url, settings.redis_url, log, open_log=partial(_open_log, settings)
        ) as workshop,
    ):
        yield workshop


@asynccontextmanager
async def _open_log(settings: "Settings") -> "AsyncIterator[Log]":
    """The log, with the keys: rows about people are folded in clear, as the projector folds them."""
    from write_model.store.log import Log
    from write_model.store.personal_data import KeyRing

    log = await Log.open(settings.database_url, KeyRing.read(settings.root_key))
    try:
        yield log
    finally:
        await log.close()


def _chosen(names: Sequence[str] | None, every: bool, known: list[str]) -> list[str]:
    if every == bool(names):
        raise usage("name projections, or say --all", f"there are: {', '.join(sorted(known))}")
    for name in names or ():
        if name not in known:
            raise _unknown(name)
    return list(names or known)


def _unknown(name: str) -> Stop:
    return Stop(
        Exit.NOT_FOUND, "projection-unknown", f"there is no projection {name}", "ccontrol projections list"
    )


def _compared(comparison: "Comparison | None") -> dict[str, Any]:
    if comparison is None:
        return {"equal": None, "tables": []}
    return {
        "equal": comparison.equal,
        "tables": [
            {
                "table": table.table,
                "equal": table.equal,
                "rows_live": table.rows_live,
                "rows_fresh": table.rows_fresh,
                "columns_differing": list(table.columns_differing),
                "sample": [{"key": row.key, "live": row.live, "fresh": row.fresh} for row in table.sample],
            }
            for table in comparison.tables
        ],
    }


def _sentence(each: dict[str, Any]) -> str:
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
    done: list[dict[str, Any]],
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


# --- operating ----------------------------------------------------------------------------------------


@app.command()
def pause(name: Name, reason: Reason, output_format: Output = Format.TABLE) -> None:
    """Stop folding one projection; what is there goes on being served, marked stale."""
    from projections.operate import pause

    _operate(lambda: pause(instance.database_url(), name, reason), name)
    output.answer(
        output_format,
        "projections.pause",
        {"name": name, "state": "paused", "reason": reason},
        show=lambda: output.line(f"{name} is paused; go on with: ccontrol projections resume {name}"),
    )


@app.command()
def resume(
    name: Name,
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
    output_format: Output = Format.TABLE,
) -> None:
    """Fold again, from the event at which it was paused or had stopped."""
    from projections.operate import resume

    _operate(lambda: resume(instance.database_url(), name), name)
    output.answer(
        output_format,
        "projections.resume",
        {"name": name, "state": "running", "reason": reason or None},
        show=lambda: output.line(f"{name} goes on"),
    )


@app.command()
def rollback(name: Name, output_format: Output = Format.TABLE) -> None:
    """Serve the generation before the last switch again, at once."""
    from projections.rebuild import NothingKept

    found: list[int] = []

    async def back() -> None:
        async with _workshop() as workshop:
            found.append(await workshop.rollback(name))

    try:
        _operate(back, name)
    except NothingKept:
        raise Stop(Exit.NOT_FOUND, "nothing-kept", f"no former generation of {name} is kept") from None
    output.answer(
        output_format,
        "projections.rollback",
        {"name": name, "generation": found[0]},
        show=lambda: output.line(f"{name} serves generation {found[0]} again"),
    )


def _operate(act: Callable[[], Any], name: str) -> None:
    from projections.rebuild import RebuildBusy, UnknownProjection

    try:
        _awaited(act())
    except UnknownProjection:
        raise _unknown(name) from None
    except RebuildBusy:
        raise Stop(Exit.CONFLICT, "busy", f"somebody else is rebuilding {name}") from None
