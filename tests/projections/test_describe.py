"""What is said of an error: enough to go on with, in one line, and nothing of the values in it."""

import psycopg
import pytest
import redis.exceptions
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from projections.failures import describe
from projections.jobs import told_failure


def test_what_sqlalchemy_and_postgresql_quote_is_not_said(database_url: str) -> None:
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(text("SELECT CAST(:name AS integer), :other"), {"name": "Ana", "other": "Silva"})
    engine.dispose()
    assert "Silva" in str(failed.value)
    assert "Silva" not in describe(failed.value)


def test_what_the_driver_itself_says_is_said() -> None:
    assert describe(psycopg.OperationalError("no route to host\n")) == "OperationalError: no route to host "


def test_it_is_one_line_that_every_column_takes() -> None:
    assert describe(ValueError("a\0b\nc\ud800")) == "ValueError: a b c "


def test_a_job_that_lost_redis_is_no_defect() -> None:
    told = told_failure(redis.exceptions.ConnectionError("redis://:hunter2@host"))
    assert told["code"] == "unreachable"
    assert "hunter2" not in told["message"]
