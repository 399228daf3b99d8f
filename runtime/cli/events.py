"""`ccontrol events`: what happened, read from the log itself. Personal data is masked."""

import json
import time
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli import instance, moments, output
from runtime.cli.company import Company, OneCompany, company_id
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format, Output
from runtime.cli.records import Lines

if TYPE_CHECKING:
    from write_model.message import Recorded

app = typer.Typer(name="events", help="What happened, from the log itself.", no_args_is_help=True)

_LOOK_SECONDS = 0.5
Language = Annotated[str, typer.Option("--language", help="pt-BR or en.")]
_COLOURS = {
    "sales": "green",
    "settlement": "cyan",
    "treasury": "cyan",
    "ledger": "blue",
    "stock": "yellow",
    "parties": "magenta",
}


@app.command()
def tail(
    type_: Annotated[str, typer.Option("--type", help="A topic, with * for any: 'sales.*'.")] = "*",
    company: OneCompany = None,
    since: Annotated[str, typer.Option("--since", help="10m, 2026-11-23 or a moment.")] = "0s",
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on as events happen.")] = True,
    language: Language = "pt-BR",
    output_format: Output = Format.TABLE,
) -> None:
    """Follow what happens, one sentence an event."""
    from runtime.cli import history

    if output_format is Format.JSON:
        raise usage("a log that goes on is no single object", "use -o jsonl")
    lines = Lines(as_csv=output_format is Format.CSV)
    where = None if company is None else company_id(company)
    start = moments.moment(since, datetime.now(UTC))
    with history.connect(instance.database_url(), where) as connection:
        positions = history.positions_at(connection, start)
        while True:
            # Sorted by time over all partitions: within a look, that is how a person expects it.
            found = sorted(
                history.events_after(connection, positions, where), key=lambda each: each.recorded_at
            )
            for recorded in found:
                positions[recorded.partition] = max(positions[recorded.partition], recorded.position)
                if fnmatchcase(recorded.topic, type_):
                    event = history.shown(recorded, language)
                    if output_format is Format.TABLE:
                        _write(recorded, event["summary"])
                    else:
                        lines.write([event])
            if not follow:
                return
            time.sleep(_LOOK_SECONDS)


def _write(recorded: "Recorded", summary: str) -> None:
    colour = _COLOURS.get(recorded.topic.partition(".")[0], "white")
    at = recorded.recorded_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    output.console().print(
        f"[dim]{at}[/dim]  {recorded.position:>8}  [{colour}]{recorded.topic}[/{colour}]  {_escaped(summary)}"
    )


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@app.command()
def show(
    event: Annotated[str, typer.Argument(help="evt_…")],
    language: Language = "pt-BR",
    output_format: Output = Format.TABLE,
) -> None:
    """Show one event with its whole trail: who, when, why, by which command."""
    from runtime.cli import history
    from write_model.values.identifiers import decode
    from write_model.values.invalid import Invalid

    try:
        event_id = decode("evt", event)
    except Invalid:
        raise usage(f"{event!r} is not the id of an event") from None
    with history.connect(instance.database_url(), None) as connection:
        found = history.shown(history.event(connection, event_id), language)
    output.answer(output_format, "events.show", {"event": found}, show=lambda: _fields(found))


def _fields(event: dict[str, Any]) -> None:
    pairs = [(name, value) for name, value in event.items() if name != "data" and value is not None]
    output.fields(
        (name, " ".join(value.values()) if isinstance(value, dict) else value) for name, value in pairs
    )
    output.line(json.dumps(event["data"], ensure_ascii=False, indent=2))


@app.command("history")
def history_of(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="sale, instalment, party…")],
    id_: Annotated[str, typer.Argument(metavar="ID", help="Its id: sal_…")],
    company: Company = None,
    language: Language = "pt-BR",
    output_format: Output = Format.TABLE,
) -> None:
    """Show everything that happened to one thing."""
    from runtime.cli import history

    where = company_id(company)
    _, stream = history.named(type_, id_, where)
    with history.connect(instance.database_url(), where) as connection:
        found = history.stream(connection, where, stream)
    if not found:
        raise Stop(Exit.NOT_FOUND, "not-found", f"there is no {type_} {id_} in this company")
    events = [history.shown(each, language) for each in found]
    output.answer(
        output_format,
        "events.history",
        {"type": type_, "id": id_, "events": events},
        show=lambda: show_events(events),
        records="events",
    )


def show_events(events: list[dict[str, Any]]) -> None:
    """Events of one thing as a table."""
    rows = [
        (
            each["version"],
            each["recorded_at"][:19],
            each["effective_date"],
            each["type"],
            each["summary"],
            each["actor"]["id"],
        )
        for each in events
    ]
    columns = ("version", "recorded at", "effective", "type", "what happened", "by")
    output.table(None, columns, rows, right=("version",))
