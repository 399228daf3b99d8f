"""`ccontrol report`: the figures of the business, as the API answers them."""

import typer

app = typer.Typer(name="report", help="The figures of the business.", no_args_is_help=True)
