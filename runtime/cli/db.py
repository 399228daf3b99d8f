"""`ccontrol db`: the schema of the database."""

import typer

from runtime.cli import instance, output
from runtime.cli.output import Format, Output

app = typer.Typer(name="db", help="The schema of the database.", no_args_is_help=True)


@app.command()
def upgrade(output_format: Output = Format.TABLE) -> None:
    """Bring the schema to the newest revision; does nothing when it is there already."""
    from write_model.store import migrations

    url = instance.database_url()
    before = migrations.current(url)
    migrations.upgrade(url)
    after = migrations.current(url)
    said = f"already at {after}" if before == after else f"{before or 'empty'} → {after}"
    output.answer(
        output_format, "db.upgrade", {"before": before, "after": after}, show=lambda: output.line(said)
    )


@app.command()
def current(output_format: Output = Format.TABLE) -> None:
    """Show the revision the schema is at."""
    from write_model.store import migrations

    revision = migrations.current(instance.database_url())
    output.answer(
        output_format,
        "db.current",
        {"revision": revision},
        show=lambda: output.line(revision or "never migrated"),
    )
