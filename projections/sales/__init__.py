"""What was sold, from events to rows."""
