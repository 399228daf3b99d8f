"""What is in the accounts, as answers."""
