"""Companies: the tenants, their profile and whether they may work."""
