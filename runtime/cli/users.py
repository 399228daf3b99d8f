"""`ccontrol users`: who may work in a company."""

import sys
from typing import Annotated

import typer

from runtime.cli import instance, output
from runtime.cli.awaiting import awaited
from runtime.cli.company import Company, company_id
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format, Output

app = typer.Typer(name="users", help="Who may work in a company.", no_args_is_help=True)

_PASSWORD_LENGTH_MIN = 12


@app.callback()
def users() -> None:
    """Who may work in a company."""


@app.command()
def add(
    email: Annotated[str, typer.Argument(help="What they sign in with.")],
    role: Annotated[list[str], typer.Option("--role", help="One or more: clerk, accountant, auditor…")],
    company: Company = None,
    output_format: Output = Format.TABLE,
) -> None:
    """Let somebody into a company. The password is asked for, or read from standard input."""
    from api.permissions import ROLES
    from runtime.first_start import add_user
    from write_model.values.identifiers import encode

    unknown = sorted(set(role) - set(ROLES))
    if unknown:
        raise usage(f"there is no role {', '.join(unknown)}", f"there are: {', '.join(sorted(ROLES))}")
    if "@" not in email:
        raise usage(f"{email!r} is not an e-mail address")
    settings = instance.settings()
    where = company_id(company)
    made = awaited(add_user(settings, where, email, _password(), role))
    if not made.is_new:
        raise Stop(
            Exit.CONFLICT, "already-member", f"{email} belongs to this company already; nothing changed"
        )
    user_id = encode("usr", made.user_id)
    output.answer(
        output_format,
        "users.add",
        {"user_id": user_id, "email": email, "roles": role, "company_id": encode("cmp", where)},
        show=lambda: output.line(f"{user_id}  {email}  {', '.join(role)}"),
    )


def _password() -> str:
    """Never from an argument: those are seen by everybody on the machine and kept by shells."""
    if sys.stdin.isatty():
        from getpass import getpass

        password = getpass("Password: ")
        if getpass("The same again: ") != password:
            raise usage("these were two different passwords")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < _PASSWORD_LENGTH_MIN:
        raise usage(f"a password needs at least {_PASSWORD_LENGTH_MIN} characters")
    return password
