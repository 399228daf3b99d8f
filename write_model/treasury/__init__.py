"""Treasury: bank and cash accounts."""
