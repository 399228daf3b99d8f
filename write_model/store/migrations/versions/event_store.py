"""The store as it began: events, their heads and chains, commands, keys, accounts, and the audit views."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from alembic import context, op

revision = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PARTITIONS_MAX = 1024


def upgrade() -> None:
    """Create everything. The order matters: grants and policies name tables, the views name both."""
    _run("roles", "tables")
    _create_partitions(int(context.get_context().opts["partitions"]))
    _run("accounts", "append_only", "access", "reading", "append_events", "audit")


def downgrade() -> None:
    """Refuse: the events are the only copy of the company's history."""
    # Finished as it is: alembic asks for the function, and refusing is what it is for.
    raise RuntimeError("the event store cannot be downgraded away")


def _create_partitions(number: int) -> None:
    if not 1 <= number <= _PARTITIONS_MAX:
        raise ValueError(f"the number of partitions must be between 1 and {_PARTITIONS_MAX}")
    for partition in range(number):
        _execute(
            f"CREATE TABLE ccontrol.events_p{partition} PARTITION OF ccontrol.events "
            f"FOR VALUES IN ({partition})"
        )
    # An int can inject nothing.
    _execute(f"INSERT INTO ccontrol.partition_heads SELECT generate_series(0, {number - 1})")


def _run(*names: str) -> None:
    for name in names:
        _execute((files("write_model.store.migrations") / "sql" / f"{name}.sql").read_text("utf-8"))


def _execute(script: str) -> None:
    # Straight to the driver: without parameters it sends a whole script and reads no % or : in it.
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute(script)
