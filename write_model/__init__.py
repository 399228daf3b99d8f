"""The room that decides: commands in, events out."""
