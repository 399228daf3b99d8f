"""Starts processes: settings, wiring, telemetry, servers and the command line."""
