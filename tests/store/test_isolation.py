"""A company sees its own rows only: one case per table, and each goes red when the table's policy goes."""

from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from write_model.store.connections import APP, AUDITOR, PROJECTOR, SEALER, conninfo

OURS, THEIRS = uuid4(), uuid4()
USERS = {OURS: uuid4(), THEIRS: uuid4()}

# One row per company and table. `{company}` and `{user}` are put in, everything else is beside the point.
ROWS = {
    "events": "VALUES (0, nextval('position'), '{company}', gen_random_uuid(), 1, 't', 1, gen_random_uuid(), "
    "current_date, now(), 'user', gen_random_uuid(), NULL, gen_random_uuid(), gen_random_uuid(), NULL, "
    "'api', NULL, '{{}}', '', '')",
    "chain_heads": "VALUES (0, '{company}', 1, '')",
    "commands": "VALUES (0, '{company}', 'user', gen_random_uuid(), 'key', '', gen_random_uuid(), 't', "
    "'unchanged', '{{}}', NULL, NULL, now())",
    "refusals": "VALUES (0, '{company}', gen_random_uuid(), now(), 'user', gen_random_uuid(), NULL, "
    "gen_random_uuid(), gen_random_uuid(), 't', NULL, 'code', '{{}}', 'api')",
    "checkpoints": "VALUES (0, '{company}', 1, '', now(), 'key', '')",
    "subject_keys": "(partition, company_id, subject_id, root_id, wrapped_key) "
    "VALUES (0, '{company}', gen_random_uuid(), 1, '')",
    "snapshots": "VALUES (0, '{company}', gen_random_uuid(), 1, 't', 1, '')",
    "outbox": "(partition, company_id, kind, payload) VALUES (0, '{company}', 'kind', '{{}}')",
    "memberships": "VALUES ('{company}', '{user}', '{{clerk}}')",
    "companies_directory": "VALUES ('{company}', 0, 'name', NULL, 'America/Recife')",
}
READERS = {
    APP: set(ROWS) - {"outbox"},
    PROJECTOR: {"events", "chain_heads", "subject_keys", "companies_directory", "outbox"},
    # Of an event only whose it is and of what topic.
    SEALER: {"events", "chain_heads", "checkpoints", "outbox"},
    AUDITOR: {"events", "chain_heads", "commands", "refusals", "checkpoints"},
}


@pytest.fixture
def filled(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TEMPORARY SEQUENCE position")
        for company_id, user_id in USERS.items():
            connection.execute(
                "INSERT INTO ccontrol.users (user_id, email, password_hash, display_name) "
                "VALUES (%s, %s, '', '')",
                (user_id, f"{user_id}@example.com"),
            )
            for table, values in ROWS.items():
                text = values.format(company=company_id, user=user_id)
                connection.execute(f"INSERT INTO ccontrol.{table} {text}")
    return database_url


def companies_seen(url: str, role: str, table: str, **settings: str) -> set[UUID]:
    with psycopg.connect(conninfo(url, role, **settings)) as connection:
        found = connection.execute(
            sql.SQL("SELECT company_id FROM ccontrol.{}").format(sql.Identifier(table))
        )
        return {company_id for (company_id,) in found}


def test_there_is_a_case_for_every_table_with_a_company(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id' "
            "WHERE c.relnamespace = 'ccontrol'::regnamespace AND c.relkind IN ('r', 'p')"
        ).fetchall()
    assert all(enabled and forced for _, enabled, forced in found)
    assert {name for name, *_ in found if not name.startswith("events_p")} == set(ROWS)


@pytest.mark.parametrize("table", sorted(READERS[APP]))
def test_the_application_sees_one_company(filled: str, table: str) -> None:
    assert companies_seen(filled, APP, table, **{"ccontrol.company": str(OURS)}) == {OURS}


@pytest.mark.parametrize("table", sorted(READERS[APP]))
def test_the_application_sees_nothing_without_a_company(filled: str, table: str) -> None:
    assert companies_seen(filled, APP, table) == set()
    assert companies_seen(filled, APP, table, **{"ccontrol.company": ""}) == set()


@pytest.mark.parametrize("table", sorted(READERS[APP]))
def test_the_case_goes_red_when_the_policy_is_dropped(filled: str, table: str) -> None:
    with psycopg.connect(filled) as connection:
        name = sql.Identifier(table)
        connection.execute(sql.SQL("ALTER TABLE ccontrol.{} DISABLE ROW LEVEL SECURITY").format(name))
    assert companies_seen(filled, APP, table, **{"ccontrol.company": str(OURS)}) == {OURS, THEIRS}


@pytest.mark.parametrize("table", sorted(READERS[APP] - {"events", "commands", "chain_heads", "checkpoints"}))
def test_the_application_cannot_write_for_another_company(filled: str, table: str) -> None:
    text = ROWS[table].format(company=THEIRS, user=USERS[OURS])
    with (
        psycopg.connect(conninfo(filled, APP, **{"ccontrol.company": str(OURS)})) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
    ):
        connection.execute(f"INSERT INTO ccontrol.{table} {text}")


@pytest.mark.parametrize("role", [PROJECTOR, SEALER, AUDITOR])
def test_each_role_reads_what_it_needs_of_all_companies(filled: str, role: str) -> None:
    for table in ROWS:
        if table in READERS[role]:
            assert companies_seen(filled, role, table) == {OURS, THEIRS}
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                companies_seen(filled, role, table)


@pytest.mark.parametrize("table", sorted(READERS[AUDITOR]))
def test_an_auditor_of_one_company_sees_that_one(filled: str, table: str) -> None:
    assert companies_seen(filled, AUDITOR, table, **{"ccontrol.company": str(OURS)}) == {OURS}


@pytest.mark.parametrize("view", ["events", "checkpoints", "refusals"])
def test_the_audit_views_show_each_reader_what_is_theirs(filled: str, view: str) -> None:
    query = sql.SQL("SELECT company_id FROM audit.{}").format(sql.Identifier(view))
    for role, settings, expected in (
        (APP, {"ccontrol.company": str(OURS)}, {OURS}),
        (APP, {}, set()),
        (AUDITOR, {}, {OURS, THEIRS}),
    ):
        with psycopg.connect(conninfo(filled, role, **settings)) as connection:
            assert {company_id for (company_id,) in connection.execute(query)} == expected


def test_a_person_at_the_login_sees_their_own_companies(filled: str) -> None:
    mine = {"ccontrol.user": str(USERS[OURS])}
    assert companies_seen(filled, APP, "memberships", **mine) == {OURS}
    assert companies_seen(filled, APP, "companies_directory", **mine) == {OURS}
    assert companies_seen(filled, APP, "events", **mine) == set()


@pytest.mark.parametrize("role", [PROJECTOR, SEALER, AUDITOR])
def test_accounts_are_nobody_elses(filled: str, role: str) -> None:
    with (
        psycopg.connect(conninfo(filled, role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT * FROM ccontrol.users")


def test_no_role_can_go_around_row_security(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname IN ('auditor', 'ccontrol_app', 'ccontrol_projector', "
            "'ccontrol_sealer', 'ccontrol_store') AND NOT (rolbypassrls OR rolsuper OR rolcanlogin)"
        ).fetchall()
    assert len(found) == 5


def test_the_read_functions_name_the_company_for_their_own_statement_only(filled: str) -> None:
    with psycopg.connect(conninfo(filled, APP), autocommit=True) as connection:
        connection.execute("SELECT * FROM ccontrol.read_facts(0, %s, '{1}', %s, '{0}')", ([OURS], [uuid4()]))
        found = connection.execute("SELECT count(*) FROM ccontrol.events").fetchone()
    assert found == (0,)
