"""The doors: HTTP in, commands and queries out. Everything that knows status codes and headers lives here."""
