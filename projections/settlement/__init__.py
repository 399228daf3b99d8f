"""What is owed and what was paid, from events to rows."""
