"""`ccontrol dlq`: messages that could not be dealt with, and what is to be done about them."""

import getpass
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli import instance, output
from runtime.cli.awaiting import awaited
from runtime.cli.outcome import Exit, Stop
from runtime.cli.output import Format, Output

if TYPE_CHECKING:
    from integration.dead_letters import DeadLetterRow
    from projections.connections import Connection

app = typer.Typer(name="dlq", help="What could not be dealt with, and what then.", no_args_is_help=True)

Queue = Annotated[str, typer.Argument(metavar="QUEUE")]
MessageId = Annotated[str, typer.Argument(metavar="MESSAGE")]


@app.command("list")
def list_(
    queue: Annotated[str | None, typer.Option("--queue", help="Only of this queue.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what has been decided about.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 200,
    output_format: Output = Format.TABLE,
) -> int:
    """List what waits for a decision; ends with 1 when there is any."""

    async def ask() -> "list[DeadLetterRow]":
        from integration.dead_letters import listed

        async with _connected() as connection:
            return await listed(connection, queue=queue, everything=everything, limit=limit)

    found = [_described(row) for row in awaited(ask())]
    columns = ("queue", "message_id", "topic", "state", "deaths", "died_at", "error")
    output.answer(
        output_format,
        "dlq.list",
        {"letters": found},
        show=lambda: output.table(None, columns, [[each[name] for name in columns] for each in found]),
        records="letters",
    )
    waiting = any(each["state"] == "dead" for each in found)
    return Exit.FOUND if waiting else Exit.DONE


@app.command()
def show(queue: Queue, message: MessageId, output_format: Output = Format.TABLE) -> None:
    """Show one message with what was sent."""
    letter = _described(_found(queue, message))
    output.answer(output_format, "dlq.show", letter, show=lambda: output.fields(letter.items()))


@app.command()
def retry(
    queue: Queue,
    message: MessageId,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; it is kept.")] = None,
    output_format: Output = Format.TABLE,
) -> None:
    """Put it back into its queue."""
    _decide(queue, message, "retrying", reason, output_format, "dlq.retry")


@app.command()
def discard(
    queue: Queue,
    message: MessageId,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept.")],
    output_format: Output = Format.TABLE,
) -> None:
    """Let it go, for ever."""
    _decide(queue, message, "discarded", reason, output_format, "dlq.discard")


def _decide(
    queue: str, message: str, state: str, reason: str | None, output_format: Format, command: str
) -> None:
    async def act() -> bool:
        from integration.dead_letters import decide, storable

        async with _connected() as connection:
            said = None if reason is None else storable(reason)
            return await decide(connection, queue, message, state, actor=_actor(), reason=said)

    letter = _found(queue, message)
    if not awaited(act()) and letter.state != state:
        raise Stop(Exit.CONFLICT, "already-decided", f"{message} in {queue} is {letter.state} already")
    letter = _found(queue, message)
    output.answer(
        output_format,
        command,
        _described(letter),
        show=lambda: output.line(f"{message} in {queue} is {letter.state}"),
    )


def _found(queue: str, message: str) -> "DeadLetterRow":
    async def ask() -> "DeadLetterRow | None":
        from integration.dead_letters import found

        async with _connected() as connection:
            return await found(connection, queue, message)

    letter: DeadLetterRow | None = None if "\x00" in queue + message else awaited(ask())
    if letter is None:
        raise Stop(Exit.NOT_FOUND, "not-found", f"there is no {message} among the dead letters of {queue}")
    return letter


def _described(row: "DeadLetterRow") -> dict[str, Any]:
    from write_model.values.identifiers import encode

    return {
        "queue": row.queue,
        "message_id": row.message_id,
        "company_id": None if row.company_id is None else encode("cmp", row.company_id),
        "topic": row.topic,
        "state": row.state,
        "error": row.error,
        "deaths": row.deaths,
        "first_died_at": row.first_died_at.isoformat(),
        "died_at": row.died_at.isoformat(),
        "decided_at": None if row.decided_at is None else row.decided_at.isoformat(),
        "decided_by": row.decided_by,
        "reason": row.reason,
        # What was sent: JSON when it is ours, whatever it is otherwise.
        "message": json.loads(row.body) if row.topic else row.body.decode(errors="backslashreplace"),
    }


def _actor() -> str:
    """Who sits here, as far as the machine knows."""
    return f"cli:{getpass.getuser()}"


@asynccontextmanager
async def _connected() -> "AsyncIterator[Connection]":
    from projections.connections import connect

    async with await connect(instance.database_url(), name="operator") as connection:
        yield connection
