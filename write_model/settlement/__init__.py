"""Settlement: receivables made of instalments, and their payments."""
