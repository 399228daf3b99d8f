"""What is in the accounts, from events to rows."""
