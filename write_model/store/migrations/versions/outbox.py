"""Signed heads are delivered outside the database through an outbox."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Make the table, and put what was signed so far in it."""
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute((files("write_model.store.migrations") / "sql" / "outbox.sql").read_text("utf-8"))


def downgrade() -> None:
    """Refuse: what was not delivered yet would never be."""
    raise RuntimeError("the outbox cannot be downgraded away")
