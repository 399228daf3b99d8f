"""Integration events for tests: of any stream, with any version."""

from datetime import UTC, date, datetime
from uuid import UUID, uuid4, uuid5

from integration.event import IntegrationEvent, Link

COMPANY = UUID("01930000-0000-7000-8000-000000000001")
SALE = UUID("01930000-0000-7000-8000-0000000000aa")
NOW = datetime(2026, 11, 23, 15, 0, 0, 123456, tzinfo=UTC)


def happening(
    stream: str = "one",
    version: int = 1,
    *,
    topic: str = "sales.sale_confirmed",
    company: UUID = COMPANY,
    partition: int = 0,
    position: int = 1,
) -> IntegrationEvent:
    """One event, with an id of its own."""
    return IntegrationEvent(
        id=uuid4(),
        topic=topic,
        schema_version=1,
        company_id=company,
        stream_id=uuid5(company, stream),
        version=version,
        partition=partition,
        position=position,
        recorded_at=NOW,
        effective_date=date(2026, 11, 23),
        links=(Link("sale", f"sal_{SALE.hex}", f"/v1/sales/sal_{SALE.hex}"),),
    )
