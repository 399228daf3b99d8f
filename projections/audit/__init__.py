"""Who did what, when and why, from events to rows."""
