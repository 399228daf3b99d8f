"""Webhooks, and what was told to them."""
