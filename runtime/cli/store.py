"""`ccontrol store`: which history the event store holds, and saying that it is another one."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.cli import instance, output
from runtime.cli.awaiting import awaited
from runtime.cli.outcome import Exit, Stop
from runtime.cli.output import Format, Output
from runtime.cli.projection_acts import Reason, actor, given

if TYPE_CHECKING:
    from write_model.store.epoch import Epoch

app = typer.Typer(name="store", help="The event store, and restoring it.", no_args_is_help=True)


@app.command()
def show(output_format: Output = Format.TABLE) -> None:
    """Show the epochs of the store: each began with a restore."""
    from write_model.store.epoch import epochs

    found = awaited(epochs(instance.database_url()))
    output.answer(
        output_format,
        "store.show",
        {"epoch": found[-1].number, "epochs": [_told(epoch) for epoch in found]},
        show=lambda: output.table(
            None,
            ("epoch", "since", "reason"),
            [
                (epoch.number, epoch.started_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"), epoch.reason)
                for epoch in found
            ],
        ),
        records="epochs",
    )


@app.command("raise-epoch")
def raise_epoch(
    reason: Reason,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    output_format: Output = Format.TABLE,
) -> None:
    """Say that the store was restored, so that nothing of the lost history is believed any more.

    \b
    Example
      ccontrol store raise-epoch --reason "backup of 02:00 restored, disk lost"

    Consistency tokens and streams of before are refused (409 store-epoch-changed), caches of running
    processes are dropped, Redis views are folded anew. Nothing in the store itself changes.
    """
    from write_model.store.epoch import raise_epoch

    reason = given(reason)
    if not yes:
        if not sys.stdin.isatty():
            message = "every client is going to be told that what it has seen may be no more"
            raise Stop(Exit.REFUSED, "unconfirmed", message, "if so it is: add --yes")
        typer.confirm(
            "Every client is going to be told that what it has seen may be no more. Go on?", abort=True
        )
    from runtime.wiring import system_clock

    begun = awaited(raise_epoch(instance.database_url(), f"{reason} ({actor()})", system_clock()))
    output.answer(
        output_format,
        "store.raise-epoch",
        _told(begun),
        show=lambda: output.line(f"epoch {begun.number} has begun; processes take notice within a second"),
    )
    output.note("next: ccontrol audit verify; ccontrol projections status")


def _told(epoch: "Epoch") -> dict[str, object]:
    return {
        "epoch": epoch.number,
        "started_at": epoch.started_at.isoformat().replace("+00:00", "Z"),
        "reason": epoch.reason,
    }
