"""`ccontrol webhooks`: who is told what happens, whether it arrived, and telling it once more."""

import json
from itertools import islice
from typing import Annotated, Any

import typer

from runtime.cli import output, webhook_acts
from runtime.cli.company import Company
from runtime.cli.output import Format, Output

app = typer.Typer(
    name="webhooks", help="Who is told what happens, and whether it arrived.", no_args_is_help=True
)

_COLUMNS = ("id", "status", "url", "topics", "status_reason")
_DELIVERY_COLUMNS = ("id", "state", "topic", "attempts", "reason", "next_try_at", "webhook_id")


@app.command("list")
def list_(company: Company = None, output_format: Output = Format.TABLE) -> None:
    """List the webhooks of a company."""
    from runtime.cli.api_client import connect

    with connect(company) as client:
        found = [{**row, "topics": " ".join(row["topics"])} for row in client.rows("/v1/webhooks")]
    _answer(output_format, "webhooks.list", "webhooks", found, _COLUMNS)


@app.command()
def deliveries(
    webhook: Annotated[str | None, typer.Option("--webhook", help="whk_…: of this one only.")] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="pending, delivered, failed, dropped; commas between.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10_000, help="How many, the newest first.")
    ] = 50,
    company: Company = None,
    output_format: Output = Format.TABLE,
) -> None:
    """List what was told, or is to be, the newest first."""
    from runtime.cli.api_client import connect

    asked = {name: text for name, text in (("webhook_id", webhook), ("status", status)) if text is not None}
    with connect(company) as client:
        found = list(islice(client.rows("/v1/webhook-deliveries", asked), limit))
    _answer(output_format, "webhooks.deliveries", "deliveries", found, _DELIVERY_COLUMNS)


@app.command()
def redeliver(
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="whd_…")],
    company: Company = None,
    output_format: Output = Format.TABLE,
) -> None:
    """Have one delivery told once more."""
    import uuid

    from runtime.cli.api_client import connect

    with connect(company) as client:
        known = client.get(f"/v1/webhook-deliveries/{delivery}")["delivery"]
        command = {
            "topic": "webhooks.redeliver",
            "target": known["webhook_id"],
            "idempotency_key": f"cli-{uuid.uuid4().hex}",
            "body": {"delivery_id": known["id"]},
        }
        answer = client.post("/v1/commands", json.dumps(command).encode())
    output.answer(
        output_format,
        "webhooks.redeliver",
        {"delivery_id": known["id"], "command_id": answer["command_id"]},
        show=lambda: output.line(f"{known['id']} is told once more"),
    )


app.command("create")(webhook_acts.create)
app.command("change")(webhook_acts.change)
app.command("enable")(webhook_acts.enable)
app.command("disable")(webhook_acts.disable)
app.command("rotate-secret")(webhook_acts.rotate_secret)
app.command("test")(webhook_acts.send_test)
app.command("remove")(webhook_acts.remove)


def _answer(
    output_format: Format, command: str, name: str, found: list[dict[str, Any]], columns: tuple[str, ...]
) -> None:
    def show() -> None:
        output.table(None, columns, [[row[column] for column in columns] for row in found])

    output.answer(output_format, command, {name: found}, show=show, records=name)
