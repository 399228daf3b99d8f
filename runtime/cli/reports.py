"""`ccontrol report`: the figures of the business, as the API answers them."""

from typing import Annotated, Any

import typer

from runtime.cli import output
from runtime.cli.company import Company
from runtime.cli.events import Language
from runtime.cli.outcome import usage
from runtime.cli.output import Format, Output

app = typer.Typer(name="report", help="The figures of the business.", no_args_is_help=True)

PeriodOption = Annotated[str | None, typer.Option("--period", help="A month: 2026-11.")]
From = Annotated[str | None, typer.Option("--from", help="First day, or month.")]
To = Annotated[str | None, typer.Option("--to", help="Last day, or month.")]
KnownAsOf = Annotated[
    str | None, typer.Option("--known-as-of", help="As known at a day, a moment, or a position of the log.")
]


@app.command()
def dre(
    period: PeriodOption = None,
    first: From = None,
    last: To = None,
    known_as_of: KnownAsOf = None,
    layout: Annotated[str, typer.Option("--layout", help="art187 or managerial.")] = "art187",
    by_month: Annotated[bool, typer.Option("--by-month", help="A column for each month.")] = False,
    company: Company = None,
    language: Language = "pt-BR",
    output_format: Output = Format.TABLE,
) -> None:
    """The income statement (DRE)."""
    asked = _given(**_span(period, first, last), known_as_of=known_as_of, layout=layout)
    if by_month:
        asked["columns"] = "month"
    report = _ask("/v1/reports/income-statement", asked, company, language)

    def show() -> None:
        columns = [column["label"] for column in report["columns"]]
        rows = [
            (
                line["label"],
                *(
                    part
                    for figure in line["figures"]
                    for part in (figure["value"]["amount"], figure["share"])
                ),
            )
            for line in report["lines"]
        ]
        headings = ["", *(heading for label in columns for heading in (label, "%"))]
        output.table(report["title"], headings, rows, right=headings[1:])

    output.answer(output_format, "report.dre", report, show=show, records="lines")


@app.command("trial-balance")
def trial_balance(
    period: PeriodOption = None,
    first: From = None,
    last: To = None,
    known_as_of: KnownAsOf = None,
    company: Company = None,
    output_format: Output = Format.TABLE,
) -> None:
    """The trial balance: opening, debits, credits and closing of every account."""
    days = {name: _whole_days(text, name) for name, text in _span(period, first, last).items()}
    asked = _given(effective_from=days["from"], effective_to=days["to"], known_as_of=known_as_of)
    report = _ask("/v1/ledger/trial-balance", asked, company)
    amounts = ("opening", "debits", "credits", "closing")

    def show() -> None:
        rows = [
            (row["account_code"], row["account_name"], *(row[name]["amount"] for name in amounts))
            for row in report["rows"]
        ]
        rows += [("", "", *(total[name]["amount"] for name in amounts)) for total in report["totals"]]
        output.table(None, ("account", "name", *amounts), rows, right=amounts)

    output.answer(output_format, "report.trial-balance", report, show=show, records="rows")


@app.command()
def ageing(
    period: PeriodOption = None,
    on: Annotated[
        str | None, typer.Option("--on", help="The day it is asked for; today unless given.")
    ] = None,
    last: To = None,
    known_as_of: KnownAsOf = None,
    by_party: Annotated[bool, typer.Option("--by-party", help="One row for each party.")] = False,
    company: Company = None,
    output_format: Output = Format.TABLE,
) -> None:
    """What is owed to the company, by how late it is."""
    if sum(given is not None for given in (period, on, last)) > 1:
        raise usage("give one of --period, --on and --to")
    wanted = on or _whole_days(period or last, "to")
    asked = _given(on=wanted, known_as_of=known_as_of, by="party" if by_party else None)
    report = _ask("/v1/reports/ageing", asked, company)
    amounts = ("not_due", "days_1_30", "days_31_60", "days_61_90", "over_90", "overdue", "total")

    def show() -> None:
        named = [(row["party_name"] or row["party_id"], row) for row in report["parties"] or ()]
        named += [("total", row) for row in report["totals"]]
        rows = [(name, *(row[part]["amount"] for part in amounts)) for name, row in named]
        output.table(f"On {report['on']}", ("", *amounts), rows, right=amounts)

    output.answer(output_format, "report.ageing", report, show=show)


def _ask(path: str, asked: dict[str, str], company: str | None, language: str = "en") -> dict[str, Any]:
    from runtime.cli.api_client import connect

    with connect(company, language) as client:
        return client.get(path, asked)


def _span(period: str | None, first: str | None, last: str | None) -> dict[str, str | None]:
    if period is not None and (first is not None or last is not None):
        raise usage("give --period, or --from and --to")
    return {"from": period or first, "to": period or last}


def _whole_days(text: str | None, side: str) -> str | None:
    """A month as its first or last day; a day as it is."""
    from write_model.values.invalid import Invalid
    from write_model.values.period import Period

    if text is None or len(text) != len("2026-11"):
        return text
    try:
        month = Period.parse(text)
    except Invalid:
        raise usage(f"{text!r} is not a month", "write 2026-11") from None
    return (month.first_day if side == "from" else month.last_day).isoformat()


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
