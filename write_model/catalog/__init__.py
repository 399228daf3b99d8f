"""The catalogue: what the company sells, at which price."""
