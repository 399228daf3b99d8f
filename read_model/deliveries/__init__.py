"""What did not arrive outside."""
