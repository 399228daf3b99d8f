"""What is sold, from events to rows."""
