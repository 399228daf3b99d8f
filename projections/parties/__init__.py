"""Whom the company trades with, from events to rows."""
