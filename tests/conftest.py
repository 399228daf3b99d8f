"""Fixtures every test may ask for: real servers, a migrated database, an empty Redis.

`database_url` and `redis_url` are what most tests want. Tests that kill a server use `private_postgres`,
`private_redis` or `private_rabbitmq`. Marks follow from the fixtures a test uses, so that nobody has to
write them.
"""

import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
import redis
import structlog
from hypothesis import settings
from psycopg import sql

from runtime.servers import PostgresServer, RabbitMQServer, ValkeyServer
from runtime.servers.debian import NoRabbitMQ
from tests import broker_of_the_session
from tests.session_servers import SessionServers

# Examples are small and machines noisy: a time limit per example would only find slow machines.
settings.register_profile("ccontrol", deadline=None)
settings.load_profile("ccontrol")

_TEMPLATE = "ccontrol_template"
# Rather than xdist's own fixture, so that `-p no:xdist` works too (a debugger wants it).
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "master")
_WORKER_NUMBER = 0 if _WORKER == "master" else 1 + int(_WORKER.removeprefix("gw"))
_SERVICE_FIXTURES = {"postgres_server", "redis_server", "private_postgres", "private_redis"}
_BROKER_FIXTURES = {"rabbitmq_server", "private_rabbitmq"}
_SERVERS = SessionServers()
_BROKER = pytest.StashKey[broker_of_the_session.Background]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by what a test uses: `-m unit` then starts nothing."""
    for item in items:
        if _SERVICE_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.service)
        if _BROKER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.broker)
        if (Path(__file__).parent / "deploy") in item.path.parents:
            item.add_marker(pytest.mark.deploy)
        if not {"service", "broker", "deploy"} & {mark.name for mark in item.iter_markers()}:
            item.add_marker(pytest.mark.unit)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start RabbitMQ while other tests run; with several workers, all of them have collected the same."""
    wanted = any(
        item.get_closest_marker("broker") and "private_rabbitmq" not in getattr(item, "fixturenames", ())
        for item in session.items
    )
    if wanted and _WORKER in ("master", "gw0") and not session.config.option.collectonly:
        # The same folder as the fixture below finds.
        factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
        session.stash[_BROKER] = broker_of_the_session.Background(_in_common(factory) / "rabbitmq")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The worker that started a server ends it, when the others are done."""
    if _BROKER in session.stash:
        session.stash[_BROKER].end()
    _SERVERS.stop()


def _in_common(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base if _WORKER == "master" else base.parent


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command line that runs inside a test configures the logs of all that come after it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def session_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder all workers of this session have in common."""
    return _in_common(tmp_path_factory)


@pytest.fixture(scope="session")
def postgres_server(session_directory: Path) -> Iterator[str]:
    """URL of the session's PostgreSQL (as superuser; not durable: never kill it)."""
    with _SERVERS.use(
        session_directory / "postgres", lambda directory: PostgresServer(directory, durable=False)
    ) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(session_directory: Path, postgres_server: str) -> str:
    """Name of a database that has every migration, made once per session."""
    with (session_directory / "postgres" / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _administration(postgres_server) as connection:
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", (_TEMPLATE,)
            ).fetchone()
            if known is None:
                _make_template(connection, postgres_server)
    return _TEMPLATE


def _make_template(connection: psycopg.Connection, server_url: str) -> None:
    from write_model.store.migrations import upgrade

    unfinished = f"{_TEMPLATE}_unfinished"
    _drop(connection, unfinished)
    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unfinished)))
    upgrade(_with_database(server_url, unfinished))
    connection.execute(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
            sql.Identifier(unfinished), sql.Identifier(_TEMPLATE)
        )
    )


@pytest.fixture
def database_url(postgres_server: str, migrated_template: str) -> Iterator[str]:
    """URL of a fresh, migrated database of this test's own."""
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_server: str, migrated_template: str) -> Iterator[str]:
    """One for all tests of a module that start something which takes seconds."""
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


@contextmanager
def fresh_database(server_url: str, template: str) -> Iterator[str]:
    """A copy of the template, for as long as it is needed."""
    name = f"test_{uuid.uuid4().hex}"
    with _administration(server_url) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        yield _with_database(server_url, name)
        _drop(connection, name)


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """URL of a fresh database without any migration."""
    name = f"test_{uuid.uuid4().hex}"
    with _administration(postgres_server) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield _with_database(postgres_server, name)
        _drop(connection, name)


@pytest.fixture(scope="session")
def redis_server(session_directory: Path) -> Iterator[str]:
    """URL of the session's Valkey, database 0: tests want `redis_url`."""
    with _SERVERS.use(session_directory / "valkey", ValkeyServer) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """URL of this worker's own database number, empty before and after."""
    yield from _emptied(redis_server, 1 + _WORKER_NUMBER)


@pytest.fixture(scope="module")
def module_redis_url(redis_server: str) -> Iterator[str]:
    """One for all tests of a module; not the one that `redis_url` empties."""
    yield from _emptied(redis_server, 33 + _WORKER_NUMBER)


def _emptied(server_url: str, number: int) -> Iterator[str]:
    url = f"{server_url.rsplit('/', 1)[0]}/{number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
def private_postgres(tmp_path: Path) -> Iterator[PostgresServer]:
    """A durable PostgreSQL of this test's own, to be killed and restarted at will."""
    server = PostgresServer(tmp_path / "postgres")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A Valkey of this test's own, to be killed and restarted at will."""
    server = ValkeyServer(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbitmq_server(session_directory: Path) -> Iterator[str]:
    """URL of the session's RabbitMQ, or of the one AMQP_URL names. Tests keep to names of their own in it."""
    given = os.environ.get("AMQP_URL")
    if given:
        yield given
        return
    directory = session_directory / "rabbitmq"
    try:
        yield broker_of_the_session.url_of(directory)
    except NoRabbitMQ as reason:
        _without_broker(reason)
    finally:
        broker_of_the_session.let_go(directory)


@pytest.fixture
def private_rabbitmq(tmp_path: Path) -> Iterator[RabbitMQServer]:
    """A RabbitMQ of this test's own, to be killed and restarted at will. Takes seconds to start."""
    server = RabbitMQServer(tmp_path / "rabbitmq")
    try:
        server.start()
    except NoRabbitMQ as reason:
        _without_broker(reason)
    yield server
    server.kill()


def _without_broker(reason: NoRabbitMQ) -> NoReturn:
    if broker_of_the_session.must_be_there():
        pytest.fail(f"a broker was expected here: {reason}")
    # Only outside CI, or where there are no Debian packages to take RabbitMQ from.
    pytest.skip(str(reason))


def _administration(server_url: str) -> psycopg.Connection:
    return psycopg.connect(_with_database(server_url, "postgres"), autocommit=True)


def _with_database(url: str, name: str) -> str:
    return re.sub(r"/[^/]*$", f"/{name}", url)


def _drop(connection: psycopg.Connection, name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
