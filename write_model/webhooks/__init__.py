"""Webhooks: addresses of partners that are told what happens."""
