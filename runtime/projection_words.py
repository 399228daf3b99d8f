"""Projections, comparisons and jobs as the outside sees them, on the command line and at the doors alike."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from projections.building import Progress
from projections.comparison import Comparison
from projections.jobs import Job
from projections.rebuild import Outcome
from projections.status import Failure, ProjectionStatus
from write_model.values.identifiers import encode


def told_projection(each: ProjectionStatus) -> dict[str, Any]:
    """Everything that is known of one projection."""
    return {
        "name": each.name,
        "version": each.version,
        "state": each.state,
        "position": each.position,
        "head": each.head,
        "lag_events": each.lag_events,
        "lag_seconds": round(each.lag_seconds, 3),
        "generation": each.generation,
        "code_version": each.code_version,
        "lane": each.lane,
        "klass": each.klass,
        "reason": each.reason,
        "waiting_for": each.waiting_for,
        "promoted_at": _moment(each.promoted_at),
        "partitions": [
            {
                "partition": partition.partition,
                "position": partition.position,
                "head": partition.head,
                "state": partition.state,
                "progressed_at": _moment(partition.progressed_at),
            }
            for partition in each.partitions
        ],
        "generations": [
            {
                "generation": generation.generation,
                "version": generation.version,
                "status": generation.status,
                "position": generation.position,
                "created_at": _moment(generation.created_at),
                "promoted_at": _moment(generation.promoted_at),
            }
            for generation in each.generations
        ],
        "failures": [told_failure(failure) for failure in each.failures],
        "skips": [
            {
                "partition": skip.partition,
                "position": skip.position,
                "reason": skip.reason,
                "actor": skip.actor,
                "break_glass": skip.break_glass,
                "skipped_at": _moment(skip.skipped_at),
            }
            for skip in each.skips
        ],
        "acts": [
            {"act": act.act, "reason": act.reason, "actor": act.actor, "done_at": _moment(act.done_at)}
            for act in each.acts
        ],
    }


def told_failure(failure: Failure) -> dict[str, Any]:
    """The event a projection stands in front of, and why."""
    return {
        "partition": failure.partition,
        "position": failure.position,
        "event_id": None if failure.event_id is None else encode("evt", failure.event_id),
        "type": failure.topic,
        "error": failure.error,
        "code_version": failure.version,
        "tries": failure.tries,
        "first_seen": _moment(failure.first_seen),
        "last_seen": _moment(failure.last_seen),
    }


def told_job(job: Job) -> dict[str, Any]:
    """A job, and how far it is."""
    progress: Mapping[str, Any] | None = job.progress
    return {
        "id": encode("job", job.job_id),
        "act": job.act,
        "projection": job.projection,
        "state": job.state,
        "requested_by": job.requested_by,
        "requested_at": _moment(job.requested_at),
        "started_at": _moment(job.started_at),
        "ended_at": _moment(job.ended_at),
        "options": dict(job.options),
        "progress": None if progress is None else told_figures(progress),
        "outcome": None if job.outcome is None else dict(job.outcome),
    }


def told_progress(progress: Progress) -> dict[str, Any]:
    """How far work is, for a script that follows it."""
    return {"projection": progress.projection, **told_figures(asdict(progress))}


def told_figures(progress: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the name."""
    eta, lag = progress["eta_seconds"], progress["live_lag_seconds"]
    return {
        "phase": progress["phase"],
        "version": progress["version"],
        "serving": progress["serving"],
        "done": progress["done"],
        "total": progress["total"],
        "events_per_second": round(progress["events_per_second"], 1),
        "eta_seconds": None if eta is None else round(eta, 1),
        "seconds": round(progress["seconds"], 3),
        "live_lag_seconds": None if lag is None else round(lag, 3),
        "waiting_for": progress.get("waiting_for"),
    }


def told_outcome(outcome: Outcome, *, rows: bool = False) -> dict[str, Any]:
    """What became of a rebuild."""
    return {
        "generation": outcome.generation,
        "promoted": outcome.promoted,
        **told_comparison(outcome.comparison, rows=rows),
    }


def told_comparison(comparison: Comparison | None, *, rows: bool = False) -> dict[str, Any]:
    """Table by table; nothing where nothing could be compared.

    The rows that differ may be about people, so they are told only to who stands at the database anyway;
    others are told their keys.
    """
    if comparison is None:
        return {"equal": None, "tables": []}
    return {
        "equal": comparison.equal,
        "tables": [
            {
                "table": table.table,
                "equal": table.equal,
                "rows_live": table.rows_live,
                "rows_fresh": table.rows_fresh,
                "columns_differing": list(table.columns_differing),
                "sample": [
                    {"key": row.key, "live": row.live, "fresh": row.fresh} if rows else {"key": row.key}
                    for row in table.sample
                ],
            }
            for table in comparison.tables
        ],
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
