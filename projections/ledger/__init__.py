"""The books, from events to rows."""
