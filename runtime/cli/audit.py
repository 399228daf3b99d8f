"""`ccontrol audit`: does the history hold, and what does it amount to?"""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli import instance, moments, output, packages
from runtime.cli.company import Company, OneCompany, company_id
from runtime.cli.events import Language, show_events
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format, Output

if TYPE_CHECKING:
    from write_model.message import Recorded
    from write_model.store.chain import Verification

app = typer.Typer(
    name="audit", help="Does the history hold, and what does it amount to?", no_args_is_help=True
)

# What is checked, and which violations each check finds.
_CHECKS: tuple[tuple[str, frozenset[str]], ...] = (
    ("hash chain", frozenset({"link-broken", "event-altered", "chain-head-wrong"})),
    ("positions", frozenset({"position-gap", "partition-wrong", "partition-head-wrong"})),
    ("stream versions", frozenset({"version-gap", "event-repeated"})),
    ("known events", frozenset({"topic-unknown"})),
    ("ledger balanced", frozenset({"entry-unbalanced"})),
    ("reversals", frozenset({"reversal-of-nothing", "reversed-twice"})),
    ("signed heads", frozenset({"checkpoint-wrong", "checkpoint-ahead", "signature-wrong"})),
    ("heads compared", frozenset({"head-differs"})),
)
_SHOWN_VIOLATIONS = 20


@app.command()
def verify(
    company: OneCompany = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Heads kept elsewhere: signed lines, or what `audit heads` wrote."),
    ] = None,
    since_last: Annotated[
        bool,
        typer.Option("--since-last/--full", help="Only what came after the newest signed heads, or all."),
    ] = False,
    output_format: Output = Format.TABLE,
) -> int:
    """Read the whole history and check it: hashes, order, balance, signed heads.

    With --since-last, what lies before the newest signed heads is believed: it sees a tail that was cut and
    whatever was altered since, but no alteration further back. Run it often, and --full now and then.

    Beside the database, the heads kept in the state folder are compared too, unless others are named.
    """
    from runtime.cli import heads
    from runtime.cli.progress import progress
    from write_model.store.chain import Progress, verify

    where = None if company is None else company_id(company)
    kept = heads.kept_here() if against is None else heads.read(against)
    url = instance.database_url()
    started = time.monotonic()
    with progress("audit verify", 0, "events") as bar:
        done = 0

        def report(now: "Progress") -> None:
            nonlocal done
            bar.of(now.total)
            bar.done(now.done - done)
            done = now.done

        verification = verify(
            url,
            company=where,
            on_progress=report,
            public_keys=heads.public_keys_here(),
            kept=kept,
            since_last=since_last,
        )
    seconds = time.monotonic() - started
    violations = [_violation(each) for each in verification.violations]
    data = {
        "ok": not violations,
        "events": verification.events,
        "events_not_read_again": verification.skipped,
        "seconds": round(seconds, 3),
        "heads": heads.of(verification),
        "violations": violations,
        "heads_compared": len(kept),
    }
    output.answer(
        output_format,
        "audit.verify",
        data,
        show=lambda: _show(verification, violations, seconds, compared=len(kept)),
        ok=not violations,
        records="violations",
    )
    return Exit.INTEGRITY if violations else Exit.DONE


def _violation(found: Any) -> dict[str, Any]:
    from write_model.values.identifiers import encode

    return {
        "kind": found.kind,
        "meaning": found.meaning,
        "partition": found.partition,
        "position": found.position,
        "company_id": None if found.company_id is None else encode("cmp", found.company_id),
        "stream_id": None if found.stream_id is None else str(found.stream_id),
        "expected": found.expected,
        "found": found.found,
    }


def _show(
    verification: "Verification", violations: list[dict[str, Any]], seconds: float, *, compared: int
) -> None:
    console = output.console()
    rate = verification.events / max(seconds, 1e-9)
    details = {
        "hash chain": f"{verification.events:,} events  {rate / 1000:,.1f}k/s",
        "positions": f"{len(verification.heads):,} companies",
        "heads compared": f"{compared:,} kept outside the database",
    }
    known = frozenset().union(*(kinds for _, kinds in _CHECKS))
    checks = [*_CHECKS, ("anything else", frozenset(v["kind"] for v in violations) - known)]
    for name, kinds in checks:
        count = sum(violation["kind"] in kinds for violation in violations)
        skipped = (name == "heads compared" and not compared) or (name == "anything else" and not count)
        if not skipped:
            mark = "[red]✘[/red]" if count else "[green]✔[/green]"
            said = f"{count:,} violations" if count else details.get(name, "")
            console.print(f" {mark} {name:<18} {said}")
    for violation in violations[:_SHOWN_VIOLATIONS]:
        console.print(
            f"   [red]{violation['kind']}[/red]  partition {violation['partition']} position "
            f"{violation['position']}  {violation['meaning']}"
        )
        console.print(f"      expected {violation['expected']}  found {violation['found']}", highlight=False)
    if len(violations) > _SHOWN_VIOLATIONS:
        console.print(f"   … and {len(violations) - _SHOWN_VIOLATIONS:,} more (-o json has all)")
    word = "NOT intact" if violations else "Verified"
    console.print(f" {word}: {verification.events:,} events in {seconds:.1f} s")
    if verification.skipped:
        console.print(f" Not read again: {verification.skipped:,} events before signed heads (--full does)")


app.command()(packages.export)
app.command("check-package")(packages.check_package)


@app.command("heads")
def show_heads(output_format: Output = Format.TABLE) -> None:
    """Show where each company's chain ends; keep it elsewhere, to verify against it later."""
    from runtime.cli import heads

    found = heads.now(instance.database_url())
    rows = [(name, head["length"], head["hash"]) for name, head in found.items()]
    output.answer(
        output_format,
        "audit.heads",
        {"heads": found},
        show=lambda: output.table(None, ("company", "events", "hash"), rows, right=("events",)),
    )


@app.command()
def replay(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="sale, receivable, party…")],
    id_: Annotated[str, typer.Argument(metavar="ID", help="Its id: sal_…")],
    as_of: Annotated[str | None, typer.Option("--as-of", help="As known at a moment or after a day.")] = None,
    position: Annotated[int | None, typer.Option("--position", help="Up to this position.")] = None,
    version: Annotated[int | None, typer.Option("--version", help="Up to this version.")] = None,
    company: Company = None,
    language: Language = "pt-BR",
    output_format: Output = Format.TABLE,
) -> None:
    """Fold the history of one thing and show what it amounted to then."""
    from runtime.cli import history

    if sum(given is not None for given in (as_of, position, version)) > 1:
        raise usage("give one of --as-of, --position and --version")
    where = company_id(company)
    kind, stream = history.named(type_, id_, where)
    until = None if as_of is None else moments.moment(as_of, datetime.now(UTC))

    def counts(each: "Recorded") -> bool:
        return (
            (until is None or each.recorded_at < until)
            and (position is None or each.position <= position)
            and (version is None or each.version <= version)
        )

    with history.connect(instance.database_url(), where) as connection:
        found = [each for each in history.stream(connection, where, stream) if counts(each)]
    if not found:
        raise Stop(Exit.NOT_FOUND, "not-found", f"there was no {type_} {id_} in this company then")
    state = kind()
    for each in found:
        state.apply(each.event)
    data = {
        "type": type_,
        "id": id_,
        "version": found[-1].version,
        "position": found[-1].position,
        "state": history.state_of(state),
        "events": [history.shown(each, language) for each in found],
    }

    def show() -> None:
        show_events(data["events"])  # type: ignore[arg-type]
        output.line(json.dumps(data["state"], ensure_ascii=False, indent=2))

    output.answer(output_format, "audit.replay", data, show=show)
