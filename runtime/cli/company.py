"""Which company a command is about."""

from typing import Annotated
from uuid import UUID

import typer

from runtime.cli import instance
from runtime.cli.outcome import usage

Company = Annotated[
    str | None, typer.Option("--company", help="cmp_… or its name; the login's own unless given.")
]
"""The option of every command that works in one company."""

OneCompany = Annotated[str | None, typer.Option("--company", help="cmp_… or its name; all unless given.")]
"""The option of commands that may look at all of them."""


def company_id(wanted: str | None) -> UUID:
    """The company asked for, or the one the login of this installation starts in."""
    from write_model.values.identifiers import decode
    from write_model.values.invalid import Invalid

    if wanted is not None and wanted.startswith("cmp_"):
        text = wanted
    elif wanted is None and (login := instance.first_login()) is not None:
        text = login.company_id
    else:
        # Only the API knows names, and whom they are known to.
        from runtime.cli.api_client import connect

        with connect(wanted) as client:
            text = client.company_id
    try:
        return decode("cmp", text)
    except Invalid:
        raise usage(f"{text!r} is not the id of a company") from None
