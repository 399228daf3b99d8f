"""What was sold, as answers."""
