"""Whom the company trades with, as answers."""
