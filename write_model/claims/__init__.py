"""Uniqueness: a number or a name belongs to the one stream whose id derives from it."""
