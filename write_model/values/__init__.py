"""Values: the pure, few and closed words of the trade that every decision is written in."""
