"""`ccontrol companies`: who keeps books in this installation."""

from typing import Annotated, get_args

import typer

from runtime.cli import instance, output
from runtime.cli.awaiting import awaited
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format, Output

app = typer.Typer(name="companies", help="Companies of this installation.", no_args_is_help=True)


@app.callback()
def companies() -> None:
    """Companies of this installation."""


@app.command()
def register(
    name: Annotated[str, typer.Argument(help="The legal name.")],
    owner_email: Annotated[str, typer.Option("--owner-email", help="A user who exists; becomes its owner.")],
    tax_number: Annotated[str | None, typer.Option("--tax-number", help="CNPJ or CPF.")] = None,
    output_format: Output = Format.TABLE,
) -> None:
    """Register a company with its chart of accounts and its owner."""
    from runtime.first_start import register_company
    from write_model.message import Refusal
    from write_model.values.identifiers import encode
    from write_model.values.invalid import Invalid
    from write_model.values.limits import Name
    from write_model.values.tax_number import TaxNumber
    from write_model.values.text import clean_text

    try:
        name = clean_text(name, max_length=get_args(Name)[1].maximum)
        number = None if tax_number is None else TaxNumber.parse(tax_number)
    except Invalid as why:
        raise usage(why.message) from None
    settings = instance.settings()
    try:
        made = awaited(register_company(settings, name, owner_email=owner_email, tax_number=number))
    except LookupError as why:
        raise Stop(Exit.NOT_FOUND, "user-unknown", str(why), "add one with: ccontrol users add") from None
    except Refusal as why:
        raise Stop(Exit.CONFLICT, why.code, why.message) from None
    company_id = encode("cmp", made)
    output.answer(
        output_format,
        "companies.register",
        {"company_id": company_id, "name": name},
        show=lambda: output.line(f"{company_id}  {name}"),
    )
