"""`ccontrol jobs`: long work on projections, whoever asked for it and whoever does it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from runtime.cli import instance, output
from runtime.cli.awaiting import awaited
from runtime.cli.outcome import Exit, Stop, usage
from runtime.cli.output import Format, Output

if TYPE_CHECKING:
    from projections.jobs import Job, Jobs

T = TypeVar("T")

app = typer.Typer(name="jobs", help="Long work on projections.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="JOB")]


@app.command("list")
def list_(
    projection: Annotated[str | None, typer.Option("--projection", help="Only of this one.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 20,
    output_format: Output = Format.TABLE,
) -> None:
    """List the jobs of late, the latest first."""
    found = [_told(job) for job in _asked(lambda jobs: jobs.latest(limit, projection))]
    columns = ("id", "act", "projection", "state", "requested_by", "requested_at", "ended_at")
    output.answer(
        output_format,
        "jobs.list",
        {"jobs": found},
        show=lambda: output.table(None, columns, [[each[name] for name in columns] for each in found]),
        records="jobs",
    )


@app.command()
def show(job: JobId, output_format: Output = Format.TABLE) -> None:
    """Show one job, how far it is, and what came of it."""
    found = _told(_found(job, lambda jobs, job_id: jobs.find(job_id)))
    output.answer(output_format, "jobs.show", found, show=lambda: output.fields(found.items()))


@app.command()
def cancel(job: JobId, output_format: Output = Format.TABLE) -> None:
    """Stop a job within a second or two; what was built is kept."""
    found = _told(_found(job, lambda jobs, job_id: jobs.cancel(job_id)))
    output.answer(output_format, "jobs.cancel", found, show=lambda: output.fields(found.items()))


def _asked(question: "Callable[[Jobs], Awaitable[T]]") -> T:
    from runtime.projection_work import open_jobs

    async def ask() -> T:
        async with open_jobs(instance.settings()) as jobs:
            return await question(jobs)

    return awaited(ask())


def _found(text: str, question: "Callable[[Jobs, Any], Awaitable[Job | None]]") -> "Job":
    from write_model.values.identifiers import decode
    from write_model.values.invalid import Invalid

    try:
        job_id = decode("job", text)
    except Invalid:
        raise usage(f"{text} is not the id of a job: they begin with job_") from None
    found = _asked(lambda jobs: question(jobs, job_id))
    if found is None:
        raise Stop(Exit.NOT_FOUND, "job-unknown", f"there is no job {text}", "ccontrol jobs list")
    return found


def _told(job: "Job") -> dict[str, Any]:
    from runtime.projection_words import told_job

    return told_job(job)
