"""What is in the warehouses, from events to rows."""
