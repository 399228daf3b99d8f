"""What is in the warehouses, as answers."""
