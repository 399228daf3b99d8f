"""What a log says of an error, and what it must not."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import psycopg
import structlog

from runtime.logs import configure_logs


@contextmanager
def written() -> Iterator[io.StringIO]:
    """Standard error of a process that has configured its logs."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    with redirect_stderr(io.StringIO()) as text:
        configure_logs()
        yield text
    root.handlers = handlers


def last_of(text: io.StringIO) -> Any:
    """The last entry, as whoever reads logs gets it."""
    return json.loads(text.getvalue().splitlines()[-1])


def test_an_error_is_told_with_its_place_and_without_variables() -> None:
    def decide(tax_number: str) -> None:
        raise ValueError("not a number")

    with written() as text:
        try:
            try:
                decide("529.982.247-25")
            except ValueError as error:
                raise ExceptionGroup("several", [error, KeyError("x")]) from error
        except ExceptionGroup:
            structlog.get_logger(__name__).exception("crashed")

    entry = last_of(text)
    assert entry["level"] == "error"
    group, cause = entry["exception"]
    assert [each[0]["error"] for each in group["group"]] == ["ValueError: not a number", "KeyError: '…'"]
    assert cause["place"][-1].endswith(" decide")
    assert "529.982" not in json.dumps(entry)


def test_the_values_postgres_quotes_stay_out(empty_database_url: str) -> None:
    with written() as text, psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE TEMP TABLE people (mail text UNIQUE)")
        try:
            connection.execute("INSERT INTO people VALUES ('maria@example.com'), ('maria@example.com')")
        except psycopg.Error:
            structlog.get_logger().exception("crashed")

    entry = last_of(text)
    assert "UniqueViolation: duplicate key" in entry["exception"][0]["error"]
    assert "maria" not in json.dumps(entry)


def test_what_a_library_says_is_one_line_too() -> None:
    with written() as text:
        try:
            raise ValueError("not a number")
        except ValueError:
            logging.getLogger("library").warning('it\'s "%s"', "two\nlines", exc_info=True)

    entry = last_of(text)
    assert entry["event"] == 'it\'s "two\nlines"'
    assert (entry["level"], entry["logger"]) == ("warning", "library")
    assert entry["exception"][0]["error"] == "ValueError: not a number"
