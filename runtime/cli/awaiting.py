"""Asynchronous work of a command; imported where it is done, because help must not wait for it."""

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def awaited(work: Coroutine[Any, Any, T]) -> T:
    """The outcome. What libraries have to say meanwhile goes to standard error: standard output is data."""
    import asyncio
    import logging

    from runtime.logs import configure_logs

    configure_logs(logging.WARNING)
    # Connections come and go; a command that waits for one says so itself.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    return asyncio.run(work)
