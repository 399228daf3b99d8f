"""The history of one thing: every event that names it, in order, as sentences with who, when and why."""

from typing import Any
from uuid import UUID

from api.problems import Problem
from api.queries import Paging, Reading
from api.representation import page_of, shown, shown_page
from api.shapes import Page
from read_model.audit.events import AuditEventRow, AuditSelection, audit_events
from write_model.values.identifiers import encode

HISTORY = page_of(AuditEventRow, url=str)
"""The shape of a page of it."""


async def history(reading: Reading, paging: Paging, subject_id: UUID) -> Page[dict[str, Any]]:
    """One page, the oldest event first; of what never was in this company there is none."""
    page = await events_of(reading, paging, subject_id)
    if not page.data and paging.after is None:
        raise Problem("not-found")
    return page


async def events_of(reading: Reading, paging: Paging, subject_id: UUID) -> Page[dict[str, Any]]:
    """The same of something that may exist before an event names it."""
    return await trail(reading, paging, AuditSelection(subject_id=subject_id, technical=False))


async def trail(reading: Reading, paging: Paging, selection: AuditSelection) -> Page[dict[str, Any]]:
    """One page of the events that were selected."""
    rows = await audit_events(
        reading.connection,
        reading.company_id,
        selection,
        language=reading.language,
        after=paging.after,
        limit=paging.limit + 1,
    )
    return shown_page(paging.page(reading, rows, key=lambda row: (row.position,)), event_shown)


def event_shown(row: AuditEventRow) -> dict[str, Any]:
    """An event with the link to all that is known of it."""
    return shown(row, url=f"/v1/audit/events/{encode('evt', row.id)}")
