"""What is sold, as answers."""
