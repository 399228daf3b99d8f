"""What is owed and what was paid, as answers."""
