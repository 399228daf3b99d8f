"""Stock: what lies in each warehouse, at moving-average cost."""
