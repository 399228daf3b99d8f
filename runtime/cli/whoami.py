"""`ccontrol whoami` and `ccontrol version`."""

from runtime.cli import output
from runtime.cli.company import Company
from runtime.cli.output import Format, Output


def whoami(company: Company = None, output_format: Output = Format.TABLE) -> None:
    """Show who is signed in, in which company, with which roles."""
    from runtime.cli.api_client import connect

    with connect(company) as client:
        me = client.get("/v1/me")
    output.answer(
        output_format,
        "whoami",
        me,
        show=lambda: output.fields((name, _short(value)) for name, value in me.items()),
    )


def show_version(output_format: Output = Format.TABLE) -> None:
    """Show the version of this program."""
    from importlib.metadata import version

    number = version("ccontrol-m")
    output.answer(output_format, "version", {"version": number}, show=lambda: output.line(number))


def _short(value: object) -> object:
    """Lists and objects of an answer on one line."""
    match value:
        case dict():
            return "  ".join(f"{name}={_short(part)}" for name, part in value.items())
        case list():
            return ", ".join(str(_short(item)) for item in value)
    return value
