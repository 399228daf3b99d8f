"""What a log says of an error, and what it must not."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import structlog

from runtime.logs import configure_logs


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The last entry, as whoever reads logs gets it."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    before = structlog.get_config()
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    configure_logs()
    yield lambda: json.loads(written.getvalue().splitlines()[-1])
    structlog.configure(**before)
    root.handlers = handlers


def test_an_error_is_told_with_its_place_and_without_variables(told: Any) -> None:
    def decide(tax_number: str) -> None:
        raise ValueError("not a number")

    try:
        try:
            decide("529.982.247-25")
        except ValueError as error:
            raise ExceptionGroup("several", [error, KeyError("x")]) from error
    except ExceptionGroup:
        structlog.get_logger(__name__).exception("crashed")

    entry = told()
    assert entry["level"] == "error"
    group, cause = entry["exception"]
    assert [each[0]["error"] for each in group["group"]] == ["ValueError: not a number", "KeyError: 'x'"]
    assert cause["place"][-1].endswith(" decide")
    assert "529.982" not in json.dumps(entry)


def test_the_values_postgres_quotes_stay_out(told: Any, empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE TEMP TABLE people (mail text UNIQUE)")
        try:
            connection.execute("INSERT INTO people VALUES ('maria@example.com'), ('maria@example.com')")
        except psycopg.Error:
            structlog.get_logger().exception("crashed")

    entry = told()
    assert "UniqueViolation: duplicate key" in entry["exception"][0]["error"]
    assert "maria" not in json.dumps(entry)


def test_what_a_library_says_is_one_line_too(told: Any) -> None:
    try:
        raise ValueError("not a number")
    except ValueError:
        logging.getLogger("library").warning('it\'s "%s"', "two\nlines", exc_info=True)

    entry = told()
    assert entry["event"] == 'it\'s "two\nlines"'
    assert (entry["level"], entry["logger"]) == ("warning", "library")
    assert entry["exception"][0]["error"] == "ValueError: not a number"
