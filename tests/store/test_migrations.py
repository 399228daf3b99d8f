"""The schema: made from nothing, made once, and the same for whoever asks at the same time."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from uuid import uuid4

import psycopg
import pytest

from write_model.store.migrations import current, sqlalchemy_url, upgrade
from write_model.store.partitions import partition_of

AUDIT_EVENTS = """
partition position company_id stream_id version event_id topic schema_version effective_date recorded_at
actor_kind actor_id command_id correlation_id causation_id reason data prev_hash hash
"""
AUDIT_POSTINGS = """
company_id partition position event_id entry_id effective_date account_code account_name side amount_minor
currency
"""


def columns(url: str, view: str) -> list[str]:
    with psycopg.connect(url) as connection:
        description = connection.execute(f"SELECT * FROM audit.{view}").description  # noqa: S608
    return [column.name for column in description or ()]


def test_an_empty_database_is_brought_to_the_newest_revision_and_stays_there(empty_database_url: str) -> None:
    assert current(empty_database_url) is None
    upgrade(empty_database_url)
    newest = current(empty_database_url)
    assert newest is not None
    upgrade(empty_database_url)
    assert current(empty_database_url) == newest


def test_several_processes_may_migrate_at_once(empty_database_url: str) -> None:
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(upgrade, [empty_database_url] * 3))
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT count(*) FROM ccontrol.partition_heads").fetchone() == (8,)


def test_the_number_of_partitions_is_chosen_when_the_store_is_made(empty_database_url: str) -> None:
    upgrade(empty_database_url, partitions=3)
    upgrade(empty_database_url, partitions=5)  # too late to choose
    with psycopg.connect(empty_database_url) as connection:
        partitions = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ccontrol.events'::regclass"
        ).fetchone()
    assert partitions == (3,)


@pytest.mark.parametrize("partitions", [0, 1025])
def test_an_unreasonable_number_of_partitions_is_refused(empty_database_url: str, partitions: int) -> None:
    with pytest.raises(ValueError, match="partitions"):
        upgrade(empty_database_url, partitions=partitions)
    assert current(empty_database_url) is None


def test_the_views_have_the_columns_they_are_documented_with(database_url: str) -> None:
    documented = AUDIT_EVENTS.split()
    assert columns(database_url, "events")[: len(documented)] == documented
    assert columns(database_url, "postings") == AUDIT_POSTINGS.split()


def test_the_program_and_the_database_agree_on_partitions(database_url: str) -> None:
    ids = [uuid4() for _ in range(200)]
    with psycopg.connect(database_url) as connection:
        for partitions in (1, 7, 8, 1024):
            found = connection.execute(
                "SELECT ccontrol.partition_of(id, %s) "
                "FROM unnest(%s) WITH ORDINALITY AS given(id, n) ORDER BY n",
                (partitions, ids),
            ).fetchall()
            assert [number for (number,) in found] == [partition_of(each, partitions) for each in ids]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p%40@h/d", "postgresql+psycopg://u:p%40@h/d"),
        ("postgres://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
    ],
)
def test_the_driver_is_named(url: str, expected: str) -> None:
    assert sqlalchemy_url(url) == expected


def test_a_login_that_is_no_superuser_can_own_and_use_the_store(empty_database_url: str) -> None:
    """As in production: a role that may create roles and owns its database, and a login that is a member."""
    owner, login = f"owner_{uuid4().hex}", f"login_{uuid4().hex}"
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD 'x'")
        connection.execute(f"ALTER DATABASE {name} OWNER TO {owner}")
        for role in ("ccontrol_store", "ccontrol_app", "ccontrol_projector", "ccontrol_sealer", "auditor"):
            connection.execute(f"GRANT {role} TO {owner} WITH ADMIN OPTION")
        connection.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'x' IN ROLE ccontrol_app")
        as_owner = psycopg.conninfo.make_conninfo(empty_database_url, user=owner, password="x")
        given = psycopg.conninfo.conninfo_to_dict(as_owner)
        upgrade(f"postgresql://{owner}:x@{given['host']}:{given['port']}/{name}")
        with psycopg.connect(
            empty_database_url, user=login, password="x", options="-c role=ccontrol_app"
        ) as session:
            assert session.execute("SELECT count(*) FROM ccontrol.events").fetchone() == (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute("INSERT INTO ccontrol.partition_heads VALUES (99)")
