"""`ccontrol dlq`: messages that could not be dealt with, and what is to be done about them.

An event a projection has stopped at is one of them: to retry it is to resume the projection, to discard it is
to leave it out.
"""

import getpass
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli import instance, output, projection_acts, stopped
from runtime.cli.awaiting import awaited
from runtime.cli.outcome import Exit, Stop
from runtime.cli.output import Format, Output
from runtime.cli.projection_acts import given

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

    async def ask() -> list[dict[str, Any]]:
        from integration.dead_letters import listed

        async with _connected() as connection:
            letters = await listed(connection, queue=queue, everything=everything, limit=limit)
            found = await stopped.listed(connection, queue, everything=everything, limit=limit)
            return [_described(row) for row in letters] + found

    found = awaited(ask())[:limit]
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
    stands = _stopped_at(queue, message)
    letter = stands[1] if stands else _described(_found(queue, message))
    output.answer(output_format, "dlq.show", letter, show=lambda: output.fields(letter.items()))


@app.command()
def retry(
    queue: Queue,
    message: MessageId,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; it is kept.")] = None,
    output_format: Output = Format.TABLE,
) -> None:
    """Put it back into its queue."""
    said = None if reason is None else given(reason)
    if stands := _stopped_at(queue, message):
        (name, _, _), letter = stands
        projection_acts.try_again(name, said)
        _answer(output_format, "dlq.retry", letter | {"state": "retrying", "reason": said})
        return
    _decide(queue, message, "retrying", said, output_format, "dlq.retry")


@app.command()
def discard(
    queue: Queue,
    message: MessageId,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept.")],
    output_format: Output = Format.TABLE,
) -> None:
    """Let it go, for ever."""
    said = given(reason)
    if stands := _stopped_at(queue, message):
        (name, partition, position), letter = stands
        projection_acts.leave_out(name, partition, position, said, break_glass=False)
        _answer(output_format, "dlq.discard", letter | {"state": "discarded", "reason": said})
        return
    _decide(queue, message, "discarded", said, output_format, "dlq.discard")


def _decide(
    queue: str, message: str, state: str, reason: str | None, output_format: Format, command: str
) -> None:
    async def act() -> bool:
        from integration.dead_letters import decide

        async with _connected() as connection:
            return await decide(connection, queue, message, state, actor=_actor(), reason=reason)

    letter = _found(queue, message)
    if not awaited(act()) and letter.state != state:
        raise Stop(Exit.CONFLICT, "already-decided", f"{message} in {queue} is {letter.state} already")
    _answer(output_format, command, _described(_found(queue, message)))


def _answer(output_format: Format, command: str, letter: dict[str, Any]) -> None:
    said = f"{letter['message_id']} in {letter['queue']} is {letter['state']}"
    output.answer(output_format, command, letter, show=lambda: output.line(said))


def _stopped_at(queue: str, message: str) -> tuple[stopped.Place, dict[str, Any]] | None:
    """Where a projection has stopped, and the letter that stands for it."""
    place = stopped.place_of(queue, message)

    async def ask() -> list[dict[str, Any]]:
        async with _connected() as connection:
            return await stopped.listed(connection, queue, limit=10_000)

    if place is None:
        return None
    return next(((place, each) for each in awaited(ask()) if each["message_id"] == message), None)


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
