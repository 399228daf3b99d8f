"""The revisions, oldest first by their `down_revision`; their SQL stands in `migrations/sql`."""
