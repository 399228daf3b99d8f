"""Who did what, when and why, as answers."""
