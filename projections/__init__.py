"""Translates events into rows: every row here can be thrown away and folded again from the log."""
