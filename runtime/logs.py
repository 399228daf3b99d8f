"""Logs: one JSON line per entry on standard error. Line breaks in values are escaped by the encoding.

Of an error they say its kind, its message and its place. Never the values of variables, nor those PostgreSQL
quotes in the details of its messages: they may be personal data, or a secret.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import structlog
from structlog.typing import ExcInfo

from projections.failures import describe


def configure_logs(level: int = logging.NOTSET) -> None:
    """For a process; entries below the level are left out, and those of libraries below a warning."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_told),
            structlog.processors.JSONRenderer(),
        ],
        # What standard error is at that moment.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _Lines(logging.Formatter):
    """The same for entries of libraries."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        entry: dict[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": moment,
        }
        if record.exc_info is not None:
            entry["exception"] = _chain(record.exc_info[1])
        return json.dumps(entry)


def _told(exc_info: ExcInfo) -> Any:
    return _chain(exc_info[1])


def _chain(error: BaseException | None) -> list[dict[str, Any]]:
    """The error, what it came from, and so on."""
    chain: list[dict[str, Any]] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = traceback.extract_tb(error.__traceback__)
        entry: dict[str, Any] = {
            "error": describe(error),
            "place": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        }
        if isinstance(error, BaseExceptionGroup):
            entry["group"] = [_chain(each) for each in error.exceptions]
        chain.append(entry)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain
