"""What is done to one webhook: registering and changing it, a new secret, a test, an end."""

import json
import sys
import time
import uuid
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli import output
from runtime.cli.company import Company
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format, Output

if TYPE_CHECKING:
    from runtime.cli.api_client import ApiClient

Webhook = Annotated[str, typer.Argument(metavar="WEBHOOK", help="whk_…")]
Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", help="What it is told of: *, a context as sales.*, or one topic; several times."),
]
Description = Annotated[str | None, typer.Option("--description", help="What it is for.")]

# A call ends after twelve seconds; before it the event goes through the relay.
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.5


def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="https://…")],
    topic: Topics = None,
    description: Description = None,
    company: Company = None,
    output_format: Output = Format.TABLE,
) -> None:
    """Register an address, and show the secret to check signatures with.

    \b
    Example
      ccontrol webhooks create https://erp.example.com/hooks --topic "sales.*"
    """
    body = {"url": url, **_given(topics=topic, description=description)}
    _act("webhooks.create", "register_webhook", None, body, company, output_format, "is registered")


def change(
    webhook: Webhook,
    url: Annotated[str | None, typer.Option("--url", help="https://…")] = None,
    topic: Topics = None,
    description: Description = None,
    company: Company = None,
    output_format: Output = Format.TABLE,
) -> None:
    """Change the address, the filters or the description; what is left out stays."""
    body = _given(url=url, topics=topic, description=description)
    if not body:
        raise usage("there is nothing to change", "give --url, --topic or --description")
    _act("webhooks.change", "change_webhook", webhook, body, company, output_format, "is changed")


def enable(webhook: Webhook, company: Company = None, output_format: Output = Format.TABLE) -> None:
    """Tell it again what happens, from now on."""
    _act("webhooks.enable", "enable_webhook", webhook, {}, company, output_format, "is enabled")


def disable(webhook: Webhook, company: Company = None, output_format: Output = Format.TABLE) -> None:
    """Tell it nothing any more; what waits for it is dropped."""
    _act("webhooks.disable", "disable_webhook", webhook, {}, company, output_format, "is disabled")


def rotate_secret(webhook: Webhook, company: Company = None, output_format: Output = Format.TABLE) -> None:
    """Make a new secret and show it; for 24 hours the one before it signs as well."""
    _act("webhooks.rotate-secret", "rotate_secret", webhook, {}, company, output_format, "has a new secret")


def remove(
    webhook: Webhook,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    company: Company = None,
    output_format: Output = Format.TABLE,
) -> None:
    """Forget it for good."""
    if not yes:
        if not sys.stdin.isatty():
            raise Stop(Exit.REFUSED, "unconfirmed", f"{webhook} would be gone for good", "if so: add --yes")
        typer.confirm(f"{webhook} is told nothing any more, and cannot be brought back. Go on?", abort=True)
    _act("webhooks.remove", "remove_webhook", webhook, {}, company, output_format, "is removed")


def send_test(webhook: Webhook, company: Company = None, output_format: Output = Format.TABLE) -> int:
    """Send it an event made for that, and say what came back; ends with 1 when it did not arrive."""
    from runtime.cli.api_client import connect

    with connect(company) as client:
        answer = _asked(client, "test_webhook", webhook, {})
        told = _awaited(client, answer["events"][0]["id"])
    delivery, log = told["delivery"], told["log"]
    arrived = delivery["state"] == "delivered"
    last = log[-1] if log else {}

    def show() -> None:
        took = f" after {last['milliseconds']} ms" if log else ""
        status = last.get("status")
        came = f"{status}" if status is not None else delivery["reason"]
        output.line(f"{webhook} {'was told' if arrived else 'was not reached'}: {came}{took}")

    output.answer(output_format, "webhooks.test", told, show=show, ok=arrived)
    return Exit.DONE if arrived else Exit.FOUND


def _awaited(client: "ApiClient", event_id: str) -> dict[str, Any]:
    """The delivery of this event with its tries, once it has ended."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        for delivery in client.get("/v1/webhook-deliveries", {"event_id": event_id})["data"]:
            if delivery["state"] != "pending":
                return client.get(f"/v1/webhook-deliveries/{delivery['id']}")
        if time.monotonic() >= deadline:
            message = "the test is asked for, but nobody has sent it yet"
            raise Stop(Exit.UNREACHABLE, "test-waits", message, "does the relay run? ccontrol ps")
        time.sleep(_LOOK_SECONDS)


def _act(
    name: str,
    topic: str,
    webhook: str | None,
    body: dict[str, Any],
    company: str | None,
    output_format: Format,
    said: str,
) -> None:
    from runtime.cli.api_client import connect

    with connect(company) as client:
        answer = _asked(client, topic, webhook, body)
    found = {"webhook_id": answer["resource"]["id"], "command_id": answer["command_id"]}
    if "secret" in answer:
        found["secret"] = answer["secret"]

    def show() -> None:
        output.line(f"{found['webhook_id']} {said}")
        if "secret" in found:
            output.line(found["secret"])
            output.note("the secret is shown nowhere else")

    output.answer(output_format, name, found, show=show)


def _asked(client: "ApiClient", topic: str, webhook: str | None, body: dict[str, Any]) -> dict[str, Any]:
    command = {"topic": f"webhooks.{topic}", "idempotency_key": f"cli-{uuid.uuid4().hex}", "body": body}
    if webhook is not None:
        command["target"] = webhook
    return client.post("/v1/commands", json.dumps(command).encode())


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
