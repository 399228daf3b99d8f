"""Parties: whom the company trades with; one party may be customer and supplier."""
