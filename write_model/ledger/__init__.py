"""The ledger: chart of accounts, journal entries, accounting periods."""
