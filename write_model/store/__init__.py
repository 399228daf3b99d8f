"""The event store: one append-only table in PostgreSQL, which is the audit trail."""
