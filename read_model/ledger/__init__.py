"""The books, as answers."""
