"""What an operator does to one projection at once: pause, resume, skip."""

import re
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer

from runtime.cli import instance, output
from runtime.cli.awaiting import awaited
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format, Output

T = TypeVar("T")
_REASON_LENGTH_MAX = 500
# Control characters, and what is left of bytes that were no text.
_UNWRITABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
Name = Annotated[str, typer.Argument(metavar="NAME")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]


def pause(name: Name, reason: Reason, output_format: Output = Format.TABLE) -> None:
    """Stop folding one projection; what is there goes on being served, marked stale."""
    from projections.operate import pause

    said = given(reason)
    _operate(pause(instance.database_url(), name, said, actor=actor()), name)
    output.answer(
        output_format,
        "projections.pause",
        {"name": name, "state": "paused", "reason": reason},
        show=lambda: output.line(f"{name} is paused; go on with: ccontrol projections resume {name}"),
    )


def resume(
    name: Name,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; it is kept.")] = None,
    output_format: Output = Format.TABLE,
) -> None:
    """Fold again, from the event at which it was paused or had stopped."""
    try_again(name, None if reason is None else given(reason))
    output.answer(
        output_format,
        "projections.resume",
        {"name": name, "state": "running", "reason": reason},
        show=lambda: output.line(f"{name} goes on"),
    )


def skip(
    name: Name,
    position: Annotated[int, typer.Option("--position", min=1, help="Where it has stopped.")],
    reason: Reason,
    partition: Annotated[
        int | None, typer.Option("--partition", min=0, help="Needed where it stopped in several.")
    ] = None,
    break_glass: Annotated[
        bool, typer.Option("--break-glass", help="Also where the books will then lack an event.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    output_format: Output = Format.TABLE,
) -> None:
    """Leave out, for ever, the event at which a projection has stopped. Who, when and why is kept."""
    said = given(reason)
    if sys.stdin.isatty() and not yes:
        typer.confirm(f"{name} will never show the event at position {position}. Leave it out?", abort=True)
    where = leave_out(name, partition, position, said, break_glass=break_glass)
    done = {"name": name, "partition": where, "position": position, "reason": reason, "actor": actor()}
    output.answer(
        output_format,
        "projections.skip",
        done | {"break_glass": break_glass},
        show=lambda: output.line(f"{name} leaves out position {position} of partition {where}, and goes on"),
    )


def try_again(name: str, reason: str | None) -> None:
    """Resume a projection."""
    from projections.operate import resume

    _operate(resume(instance.database_url(), name, actor=actor(), reason=reason), name)


def leave_out(name: str, partition: int | None, position: int, reason: str, *, break_glass: bool) -> int:
    """Skip an event; the partition it is in."""
    from projections.operate import AmbiguousPosition, NotStopped, SkipRefused, skip

    try:
        return _operate(
            skip(
                instance.database_url(),
                name,
                partition,
                position,
                reason=reason,
                actor=actor(),
                break_glass=break_glass,
            ),
            name,
        )
    except SkipRefused:
        message = f"{name} keeps the books: an event left out would falsify them"
        skipping = f"ccontrol projections skip {name} --position {position} --reason … --break-glass"
        hint = f"mend the cause and resume it; or, knowing what you do: {skipping}"
        raise Stop(Exit.REFUSED, "ledger-class", message, hint) from None
    except AmbiguousPosition as several:
        message = f"{name} has stopped at position {position} of several partitions"
        raise Stop(Exit.USAGE, "usage", message, f"say which with --partition: {several}") from None
    except NotStopped:
        message = f"{name} is not stopped at position {position}"
        raise Stop(Exit.CONFLICT, "not-stopped", message, f"ccontrol projections show {name}") from None


def actor() -> str:
    """Who sits at this machine."""
    import getpass
    import socket

    return f"{getpass.getuser()}@{socket.gethostname()}"


def unknown(name: str) -> Stop:
    """There is none of this name."""
    return Stop(
        Exit.NOT_FOUND, "projection-unknown", f"there is no projection {name}", "ccontrol projections list"
    )


def _operate(act: Coroutine[Any, Any, T], name: str) -> T:
    from projections.premises import UnknownProjection

    try:
        return awaited(act)
    except UnknownProjection:
        raise unknown(name) from None


def given(reason: str) -> str:
    """A reason that says something, on one line, as the doors take it."""
    if not reason.strip():
        raise usage("--reason is empty: say why, for whoever looks later")
    if len(reason) > _REASON_LENGTH_MAX or _UNWRITABLE.search(reason):
        raise usage(f"--reason is one line of at most {_REASON_LENGTH_MAX} characters that can be written")
    return reason
