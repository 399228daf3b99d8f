"""Folds webhooks."""
