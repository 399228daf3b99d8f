"""What is said of an error: enough to go on with, in one line, and nothing of the values in it."""

from collections.abc import Callable
from datetime import date
from uuid import UUID

import psycopg
import pytest
import redis.exceptions
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from projections.failures import describe
from projections.jobs import told_failure
from projections.pages import LogUnreadable


def test_what_sqlalchemy_and_postgresql_quote_is_not_said(database_url: str) -> None:
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(text("SELECT CAST(:name AS integer), :other"), {"name": "Ana", "other": "Silva"})
    engine.dispose()
    assert "Silva" in str(failed.value)
    assert "Silva" not in describe(failed.value)


@pytest.mark.parametrize(
    "question",
    ["SELECT 'Ana Silva'::integer", "SELECT ('{\"Ana Silva'::text)::integer[]", "SELECT 'Ana Silva'::date"],
)
def test_a_value_the_database_refused_is_not_said(database_url: str, question: str) -> None:
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.DataError) as failed:
        connection.execute(question.encode())
    assert "Silva" in str(failed.value)
    said = describe(failed.value)
    assert "Silva" not in said
    assert str(failed.value.sqlstate) in said


def test_a_column_that_must_be_filled_is_said_and_the_row_is_not(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TEMPORARY TABLE people (name text, age integer NOT NULL)")
        with pytest.raises(psycopg.IntegrityError) as failed:
            connection.execute("INSERT INTO people VALUES ('Ana Silva', NULL)")
    assert "Silva" in str(failed.value)
    assert "Silva" not in describe(failed.value)
    assert "age" in describe(failed.value)


@pytest.mark.parametrize(
    ("broken", "kept"),
    [
        (lambda: int("Ana Silva"), "invalid literal for int() with base 10"),
        (lambda: dict[str, str]()["Ana Silva"], "KeyError"),
        (lambda: int("Ana D'Avila 'Silva' "), "invalid literal for int() with base 10"),
        (lambda: UUID(hex="Ana Silva"), "badly formed hexadecimal UUID string"),
        (lambda: date.fromisoformat("Ana Silva"), "Invalid isoformat string"),
    ],
)
def test_what_python_quotes_is_not_said(broken: Callable[[], object], kept: str) -> None:
    with pytest.raises((ValueError, LookupError)) as failed:
        broken()
    assert kept in describe(failed.value)
    assert "Silva" not in describe(failed.value)


def test_what_is_said_of_an_event_that_cannot_be_read_repeats_no_value() -> None:
    unreadable = LogUnreadable(1, 2, "ValueError")
    unreadable.__cause__ = ValueError("invalid literal: 'Ana Silva'")
    assert describe(unreadable) == "ValueError: invalid literal: '…'"


def test_what_the_driver_itself_says_is_said() -> None:
    assert describe(psycopg.OperationalError("no route to host\n")) == "OperationalError: no route to host "


def test_it_is_one_line_that_every_column_takes() -> None:
    assert describe(ValueError("a\0b\nc\ud800")) == "ValueError: a b c "


def test_a_job_that_lost_redis_is_no_defect() -> None:
    told = told_failure(redis.exceptions.ConnectionError("redis://:hunter2@host"))
    assert told["code"] == "unreachable"
    assert "hunter2" not in told["message"]
