"""Decisions that span contexts; each is one transaction over every stream it read."""
