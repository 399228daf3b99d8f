"""Logs: one JSON line per entry on standard error. Line breaks in values are escaped by the encoding."""

import logging
import sys

import structlog


def configure_logs() -> None:
    """For a long-running process; libraries' own entries from warnings upwards come along."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(
        level=logging.WARNING,
        stream=sys.stderr,
        format='{"level":"%(levelname)s","logger":"%(name)s","event":%(message)r}',
    )
