"""`ccontrol import`: bring in what other systems know."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli import output
from runtime.cli.company import Company
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format, Output
from runtime.cli.records import Lines

if TYPE_CHECKING:
    from runtime.cli.api_client import ApiClient
    from runtime.marketplace.read import Export
    from runtime.marketplace.reconcile import Reconciliation
    from runtime.marketplace.run import Sent

app = typer.Typer(name="import", help="Bring in what other systems know.", no_args_is_help=True)

_SHOWN_ROWS = 20


@app.callback()
def imports() -> None:
    """Bring in what other systems know."""


@app.command()
def marketplace(
    directory: Annotated[Path, typer.Argument(help="The folder with the CSV files of the export.")],
    company: Company = None,
    settle_until: Annotated[
        str | None,
        typer.Option(
            "--settle-until",
            help="Card instalments due up to this day count as paid; the last day in the files unless given.",
        ),
    ] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Only read the files and say what would be refused.")
    ] = False,
    output_format: Output = Format.TABLE,
) -> int:
    """Import a marketplace export (public Olist format), then prove it against the books to the centavo.

    \b
    Safe to repeat and to interrupt: what is in the books already is not done again.
    Ends with 1 when a figure differs, with 8 when all agrees but rows were refused.
    With -o json the last line is the reconciliation as one object.
    """
    from runtime.cli.api_client import connect
    from runtime.marketplace.read import read
    from runtime.marketplace.rows import Unreadable

    until = _day(settle_until)
    if not directory.is_dir():
        raise usage(f"{directory} is not a folder")
    try:
        export = read(directory)
    except Unreadable as why:
        raise usage(str(why)) from None
    if export.last_day is None:
        raise usage(f"there is not one readable order in {directory}")
    if validate:
        return _validated(export, until or export.last_day, output_format)
    with connect(company) as client:
        sent, proof = _import(client, export, until or export.last_day)
    if output_format is Format.TABLE:
        _show(sent, proof)
    else:
        Lines(as_csv=output_format is Format.CSV).write([proof.as_json()])
    if proof.differences:
        return Exit.FOUND
    return Exit.PARTLY if proof.rows_refused else Exit.DONE


def _import(client: "ApiClient", export: "Export", until: date) -> "tuple[Sent, Reconciliation]":
    from runtime.cli.progress import progress
    from runtime.marketplace import run
    from runtime.marketplace.books import read_books
    from runtime.marketplace.expected import expected
    from runtime.marketplace.reconcile import reconcile
    from write_model.values.identifiers import decode

    company_id = decode("cmp", client.company_id)
    total = run.drop_unfit(company_id, export, until)
    output.note(
        f"{len(export.orders):,} orders, {len(export.customers):,} customers, "
        f"{len(export.products):,} products: {total:,} commands"
    )
    try:
        with progress("import marketplace", total, "commands") as bar:
            sent = run.send(client, company_id, export, until, bar.done)
        output.note("reading the books back")
        want = expected(run.plans(company_id, export, until))
        proof = reconcile(want, read_books(client, want))
    except KeyboardInterrupt:
        raise Stop(
            Exit.INTERRUPTED,
            "interrupted",
            "interrupted; what was sent is in the books, whole commands only",
            "run the same command again: it goes on where it stopped",
        ) from None
    proof.rows_refused += export.refused + sent.refused
    return sent, proof


def _validated(export: "Export", until: date, output_format: Format) -> int:
    """What an import would refuse; nothing is sent, so no company is needed."""
    from uuid import UUID

    from runtime.marketplace import run

    run.drop_unfit(UUID(int=0), export, until)
    refused = [{"file": r.file, "line": r.line, "reason": r.reason} for r in export.refused]
    data = {
        "orders": len(export.orders),
        "customers": len(export.customers),
        "products": len(export.products),
        "settle_until": until.isoformat(),
        "rows_refused": refused,
    }

    def show() -> None:
        output.fields((name, value) for name, value in data.items() if name != "rows_refused")
        _show_refused(refused)

    output.answer(
        output_format, "import.marketplace", data, show=show, ok=not refused, records="rows_refused"
    )
    return Exit.FOUND if refused else Exit.DONE


def _day(text: str | None) -> date | None:
    from write_model.values.dates import parse_date
    from write_model.values.invalid import Invalid

    try:
        return None if text is None else parse_date(text)
    except Invalid:
        raise usage(f"--settle-until takes a day such as 2018-12-31, not {text!r}") from None


# --- for people ---------------------------------------------------------------------------------------


def _show(sent: "Sent", proof: "Reconciliation") -> None:
    answer = proof.as_json()
    rows = [(status, count, proof.orders_in_books[status]) for status, count in proof.orders.items()]
    output.table("Orders", ("status", "source", "books"), rows, right=("source", "books"))
    for title, name in (
        ("Revenue by month", "revenue_by_month"),
        ("Paid beyond items and freight, by month", "surcharges_by_month"),
        ("Paid less than items and freight, by month", "discounts_by_month"),
        ("Payments by type", "payments_by_type"),
    ):
        _show_pairs(title, answer[name])
    expected = proof.receivables_expected
    both = {key: {"source": expected[key], "books": amount} for key, amount in proof.receivables.items()}
    _show_pairs("Receivables", both)
    _show_refused(answer["rows_refused"])
    if proof.differences:
        found = [(d.what, d.key, d.source, d.books) for d in proof.differences[:_SHOWN_ROWS]]
        output.table("Differences", ("what", "which", "source", "books"), found, right=("source", "books"))
        _show_rest(len(proof.differences))
    verdict = "they agree to the centavo" if not proof.differences else "THEY DIFFER"
    output.line(f"{sent.recorded:,} commands recorded, {sent.known:,} known already.")
    output.line(f"Source and books: {verdict}.")


def _show_pairs(title: str, pairs: dict[str, dict[str, str]]) -> None:
    if pairs:
        rows = [
            (key, pair["source"], pair["books"], "" if pair["source"] == pair["books"] else "✘")
            for key, pair in pairs.items()
        ]
        output.table(title, ("", "source", "books", " "), rows, right=("source", "books"))


def _show_refused(refused: list[dict[str, Any]]) -> None:
    if refused:
        rows = [(r["file"], r["line"], r["reason"]) for r in refused[:_SHOWN_ROWS]]
        output.table(f"{len(refused):,} rows refused", ("file", "line", "reason"), rows, right=("line",))
        _show_rest(len(refused))


def _show_rest(count: int) -> None:
    if count > _SHOWN_ROWS:
        output.line(f"… and {count - _SHOWN_ROWS:,} more (-o json has all)")
