"""Doing long work on projections from the command line: one after the other, each with its progress shown."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runtime.cli import instance, output
from runtime.cli.awaiting import awaited
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format
from runtime.cli.projection_acts import actor, unknown
from runtime.cli.rebuild_words import Done, again

if TYPE_CHECKING:
    from projections.building import Progress as Built
    from projections.jobs import Act
    from runtime.cli.progress import Progress
    from runtime.projection_work import Bench

# Only to say beforehand whether it takes seconds or hours.
_USUAL_EVENTS_PER_SECOND = 15_000


def do_each(
    names: list[str] | None, every: bool, act: "Act", options: dict[str, Any], output_format: Format
) -> Done:
    """One projection after the other, each under its own bar. One that cannot be does not stop the others."""
    done = Done()
    try:
        awaited(_do_all(names, every, act, options, output_format, done))
    except KeyboardInterrupt:
        raise Stop(
            Exit.INTERRUPTED,
            "interrupted",
            "interrupted; what was built is kept, and what was served is served",
            f"it goes on where it stopped with: {again(act, done.left)}",
        ) from None
    return done


async def _do_all(
    names: list[str] | None,
    every: bool,
    act: "Act",
    options: dict[str, Any],
    output_format: Format,
    done: Done,
) -> None:
    from projections.connections import is_transient
    from projections.jobs import JobRunning, told_failure
    from projections.premises import UnknownProjection
    from runtime.projection_work import open_bench
    from write_model.values.identifiers import encode

    expected = _expected()
    async with open_bench(instance.settings()) as bench:
        done.left = choose(names, every, list(bench.workshop.catalogue.kinds))
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


def choose(names: Sequence[str] | None, every: bool, known: list[str]) -> list[str]:
    """The projections that were named, or all there are. Raises Stop for what there is not."""
    if every == bool(names):
        raise usage("name projections, or say --all", f"there are: {', '.join(sorted(known))}")
    for name in names or ():
        if name not in known:
            raise unknown(name)
    return list(dict.fromkeys(names or known))
