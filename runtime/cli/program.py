"""The tree of commands, and how every one of them ends."""

import sys
from collections.abc import Sequence

import typer
from typer.exceptions import Abort, TyperException

from runtime.cli import (
    audit,
    choosing,
    companies,
    db,
    dlq,
    events,
    imports,
    jobs,
    output,
    processes,
    projections,
    reports,
    schema,
    serve,
    store,
    users,
    webhooks,
    whoami,
)
from runtime.cli.outcome import Exit, Stop, unreachable, usage

_HELP = """Control of a business, from the command line.

\b
Examples
  ccontrol projections status            is every report up to date?
  ccontrol audit verify                  does the history add up?
  ccontrol report dre --period 2026-11   profit and loss of a month
  ccontrol events tail --since 10m       what is happening
  ccontrol import marketplace ./olist    bring in the orders of a marketplace

\b
Where it looks: CCONTROL_URL and CCONTROL_TOKEN, else the folder CCONTROL_STATE (.ccontrol).
Exit codes: 0 done, 1 found what it looks for, 2 usage, 3 not found, 4 not allowed, 5 conflict,
6 unreachable, 7 integrity violation, 8 partly done, 9 refused for safety, 70 internal, 130 interrupted.
"""

_INTERRUPTED = "interrupted; nothing was left half done, run the same command again to go on"

app = typer.Typer(
    name="ccontrol",
    help=_HELP,
    add_completion=False,
    no_args_is_help=True,
    # Plain help: importing rich would take longer than everything else together.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    serve,
    db,
    store,
    imports,
    projections,
    jobs,
    dlq,
    events,
    audit,
    reports,
    companies,
    users,
    webhooks,
):
    app.add_typer(group.app)
app.command("ps")(processes.ps)
app.command("whoami")(whoami.whoami)
app.command("version")(whoami.show_version)
app.command("schema")(schema.schema)
choosing.offer(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code, whatever happens."""
    output.write_anything()
    try:
        ended = app(args=list(arguments), prog_name="ccontrol", standalone_mode=False)
        sys.stdout.flush()
        if ended == Exit.INTERRUPTED:
            output.note(_INTERRUPTED)
        return ended if isinstance(ended, int) else Exit.DONE
    except Stop as stop:
        return _stopped(stop, arguments)
    except TyperException as mistake:
        if type(mistake).__name__ == "NoArgsIsHelpError":
            sys.stderr.write(f"{mistake.format_message()}\n")
            return Exit.USAGE
        return _stopped(usage(mistake.format_message(), "ccontrol --help"), arguments)
    except (KeyboardInterrupt, Abort):
        output.note(_INTERRUPTED)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has had enough (`| head`); the interpreter must not try to flush again.
        sys.stdout = None
        return Exit.DONE
    except Exception as failure:  # noqa: BLE001 - the last one who can still say something
        return _stopped(_translated(failure), arguments)


def _stopped(stop: Stop, arguments: Sequence[str]) -> int:
    """A sentence for people; the JSON object too for a script that asked for it."""
    if _wants_json(arguments):
        output.line(output.envelope(_command(arguments), {}, ok=False, diagnostics=[stop.diagnostic()]))
    output.note(stop.message)
    if stop.hint:
        output.note(f"hint: {stop.hint}")
    return stop.exit_code


def _translated(failure: Exception) -> Stop:
    """A failure of something we depend on, or our own fault with a report id."""
    if isinstance(failure, UnicodeEncodeError) and "surrogates" in failure.reason:
        return usage("an argument is no text: its bytes are not UTF-8")
    # What the library for questions wraps.
    if getattr(getattr(failure, "orig", failure), "sqlstate", None) in _UNDEFINED:
        message = "the database is of another version than this program"
        hint = "ccontrol db upgrade, then start the projector and relay of this version"
        return Stop(Exit.CONFLICT, "other-version", message, hint)
    for kind in type(failure).__mro__:
        # By name: importing the driver to ask would load it for every command.
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in _UNREACHABLE:
            message = "the database does not answer"
            return unreachable(message, "is it running? start it with ./run")
        if name == "write_model.store.personal_data.KeysUnusable":
            return usage(f"the keys cannot be used: {failure}", "CCONTROL_STATE names the folder they are in")
        if name == "redis.exceptions.RedisError":
            message = f"Redis does not do what it is asked: {type(failure).__name__}"
            return unreachable(message, "is it running, does REDIS_URL name it, does it take writes?")
    import traceback
    import uuid

    report_id = uuid.uuid4().hex[:12]
    sys.stderr.write("".join(traceback.format_exception(failure)))
    return Stop(Exit.INTERNAL, "internal", f"internal error, report id {report_id}: {type(failure).__name__}")


# Of PostgreSQL: there is no such schema, table, column or function.
_UNDEFINED = frozenset({"3F000", "42P01", "42703", "42883"})
_UNREACHABLE = frozenset(
    {
        "psycopg.OperationalError",
        "psycopg.errors.OperationalError",
        "sqlalchemy.exc.OperationalError",
        "psycopg_pool.PoolTimeout",
        "write_model.store.append.StoreUnavailable",
        "write_model.store.append.StoreBusy",
        "httpx2.ConnectError",
    }
)


def _wants_json(arguments: Sequence[str]) -> bool:
    # The import promises one last line of its own shape instead.
    if list(arguments[:1]) == ["import"]:
        return False
    pairs = zip(arguments, (*arguments[1:], ""), strict=True)
    formats = [value for name, value in pairs if name in ("-o", "--output")]
    formats += [name[2:] for name in arguments if name.startswith("-o") and name != "-o"]
    formats += [name.partition("=")[2] for name in arguments if name.startswith("--output=")]
    chosen = any(name == "--json" or name.startswith("--json=") for name in arguments)
    return formats[-1] == "json" if formats else chosen


def _command(arguments: Sequence[str]) -> str:
    words = []
    for argument in arguments[:2]:
        if argument.startswith("-"):
            break
        words.append(argument)
    return ".".join(words)
