"""Every command on a real installation, in the order of a working day."""

import json
import os
import pty
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg import sql

from runtime.servers.process import wait_until
from tests.cli.installation import Installation, Said, installation
from tests.marketplace.exports import ITEMS, ORDERS, ExportFolder, small
from write_model.values.identifiers import decode

pytestmark = [pytest.mark.service, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One for all tests here: starting one takes seconds."""
    with installation(tmp_path_factory.mktemp("cli") / "state") as made:
        yield made


@pytest.fixture(scope="module")
def imported(running: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """One whose first company has orders of every kind."""
    made = running.run("import", "marketplace", str(_varied(tmp_path_factory.mktemp("olist"))), "-o", "json")
    assert made.code == 0, made.err
    return running


def _varied(directory: Path) -> Path:
    export = small(directory)
    export.order("o2", status="shipped", purchased="1/15/2018 9:30", approved="")
    export.item("o2", 1, price="200", freight="0")
    export.payment("o2", "201.00", method="credit_card", instalments=5)
    export.order("o3", approved="2017-11-30 10:00:00")
    export.item("o3", 1)
    export.item("o3", 2, price="0.01", freight="0.02")
    export.payment("o3", "60.00", method="voucher", number=1)
    export.payment("o3", "49.99", method="debit_card", number=2)
    export.order("o4", status="canceled")
    export.item("o4")
    export.payment("o4")
    export.order("o5", status="created", approved="")
    export.order("o6", status="unavailable")
    export.order("o7", status="invoiced")
    export.item("o7")
    return export.write()


def test_the_books_agree_with_the_source(imported: Installation, tmp_path: Path) -> None:
    again = imported.run("import", "marketplace", str(_varied(tmp_path)), "-o", "json")
    assert again.code == 0, again.err
    assert [*again.json][:6] == [
        "orders",
        "revenue_by_month",
        "payments_by_type",
        "receivables",
        "differences",
        "rows_refused",
    ]
    assert again.json["orders"] == {
        "canceled": 1,
        "created": 1,
        "delivered": 2,
        "invoiced": 1,
        "shipped": 1,
        "unavailable": 1,
    }
    assert again.json["revenue_by_month"] == {
        "2017-10": {"source": "220.00", "books": "220.00"},
        "2017-11": {"source": "110.03", "books": "110.03"},
        "2018-01": {"source": "200.00", "books": "200.00"},
    }
    assert again.json["receivables"] == {"settled": "219.99", "open": "201.00"}
    assert again.json["differences"] == []


def test_a_second_import_records_nothing(imported: Installation, tmp_path: Path) -> None:
    before = imported.run("audit", "heads", "-o", "json").data["heads"]
    again = imported.run("import", "marketplace", str(_varied(tmp_path)))
    assert again.code == 0, again.err
    assert "0 commands recorded" in again.out
    assert "they agree to the centavo" in again.out
    assert imported.run("audit", "heads", "-o", "json").data["heads"] == before


def test_more_card_instalments_are_settled_later(running: Installation, tmp_path: Path) -> None:
    assert (
        running.run(
            "companies", "register", "Loja Dois", "--owner-email", running.told["login"]["email"]
        ).code
        == 0
    )
    where = ("import", "marketplace", str(_varied(tmp_path)), "--company", "Loja Dois", "-o", "json")
    assert running.run(*where).json["receivables"] == {"settled": "219.99", "open": "201.00"}
    later = running.run(*where, "--settle-until", "2018-03-31")
    assert later.code == 0, later.err
    assert later.json["receivables"] == {"settled": "300.39", "open": "120.60"}


def test_rows_that_were_refused_end_with_8(running: Installation, tmp_path: Path) -> None:
    owner = running.told["login"]["email"]
    assert running.run("companies", "register", "Loja Tres", "--owner-email", owner).code == 0
    export: ExportFolder = small(tmp_path)
    export.order("o2")
    export.item("o2", price="12,50")
    export.payment("o2")
    partly = running.run("import", "marketplace", str(export.write()), "--company", "Loja Tres", "-o", "json")
    assert partly.code == 8, partly.err
    assert partly.json["orders"] == {"delivered": 1}
    assert [(row["file"], row["line"]) for row in partly.json["rows_refused"]] == [(ITEMS, 3), (ORDERS, 3)]
    assert partly.json["differences"] == []
    assert running.run("import", "marketplace", str(tmp_path), "--validate").code == 1


def test_what_the_books_have_lost_is_found(running: Installation, tmp_path: Path) -> None:
    from runtime.cli.api_client import ApiClient
    from runtime.cli.instance import Instance, Login

    owner = running.told["login"]
    made = running.run("companies", "register", "Loja Quatro", "--owner-email", owner["email"], "-o", "json")
    where = ("import", "marketplace", str(small(tmp_path).write()), "--company", "Loja Quatro", "-o", "json")
    assert running.run(*where).code == 0
    at = Instance(
        running.told["url"], None, Login(owner["email"], owner["password"], made.data["company_id"])
    )
    with ApiClient(at) as api:
        (instalment,) = api.rows("/v1/instalments")
        (settlement,) = api.get(f"/v1/receivables/{instalment['receivable_id']}")["settlements"]
        command = {
            "topic": "settlement.reverse_settlement",
            "target": settlement["id"],
            "idempotency_key": "undo",
            "body": {},
            "reason": "trial",
        }
        api.post("/v1/commands", json.dumps({"commands": [command]}).encode())
    found = running.run(*where)
    assert found.code == 1
    assert [(d["what"], d["key"]) for d in found.json["differences"]] == [
        ("order settled", "o1"),
        ("receivables", "open"),
        ("receivables", "settled"),
    ]


# The public data set may not be copied into the project (its licence), so whoever has it says where it is.
@pytest.mark.skipif("OLIST_DIR" not in os.environ, reason="OLIST_DIR names a real export")
def test_a_real_export_agrees_to_the_centavo(running: Installation) -> None:
    owner = running.told["login"]["email"]
    assert running.run("companies", "register", "Loja Real", "--owner-email", owner).code == 0
    made = running.run(
        "import", "marketplace", os.environ["OLIST_DIR"], "--company", "Loja Real", "-o", "json"
    )
    assert made.code in (0, 8), made.err
    assert made.json["differences"] == []


def test_who_and_what_runs(running: Installation) -> None:
    who = running.run("whoami", "-o", "json").data
    assert (who["user"]["email"], who["company"]["id"]) == (
        running.told["login"]["email"],
        running.told["company_id"],
    )
    roles = running.run("ps", "-o", "json").data["roles"]
    assert {each["role"] for each in roles} == {
        "supervisor",
        "postgres",
        "redis",
        "api",
        "projector",
        "relay",
    }
    assert all(each["running"] for each in roles)
    assert running.run("db", "current", "-o", "json").data["revision"]
    upgraded = running.run("db", "upgrade", "-o", "json").data
    assert upgraded["before"] == upgraded["after"]


def test_a_new_user_signs_in_with_the_password_from_standard_input(running: Installation) -> None:
    added = running.run(
        "users", "add", "auditor@example.test", "--role", "auditor", "-o", "json", stdin="a long password\n"
    )
    assert added.code == 0, added.err
    assert "a long password" not in added.out
    again = ("users", "add", "auditor@example.test", "--role", "manager")
    assert running.run(*again, stdin="a long password\n").code == 5
    assert running.run("users", "add", "x@example.test", "--role", "clerk", stdin="short\n").code == 2
    assert (
        running.run("users", "add", "x@example.test", "--role", "king", stdin="a long password\n").code == 2
    )
    assert running.run("companies", "register", "Sem Dono", "--owner-email", "nobody@example.test").code == 3


def test_projections_are_looked_at_rebuilt_and_compared(imported: Installation) -> None:
    assert imported.run("projections", "status", "--max-lag", "60s").code == 0
    names = [each["name"] for each in imported.run("projections", "list", "-o", "json").data["projections"]]
    assert "ledger_lines" in names
    rebuilt = imported.run("projections", "rebuild", "ledger_lines", "sales_orders", "-o", "json")
    assert rebuilt.code == 0, rebuilt.err
    for each in rebuilt.data["projections"]:
        assert (each["promoted"], each["equal"], each["generation"]) == (True, True, 2)
    compared = imported.run("projections", "compare", "ledger_lines", "-o", "json")
    assert (compared.code, compared.data["projections"][0]["equal"]) == (0, True)
    assert imported.run("projections", "rollback", "ledger_lines").code == 0
    assert imported.run("projections", "rebuild", "no_such_thing").code == 3


def test_drift_is_found_and_mended(imported: Installation) -> None:
    with psycopg.connect(imported.told["database_url"]) as connection:
        row = connection.execute(
            "SELECT t.relname FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace "
            "WHERE n.nspname = 'read' AND t.relname ~ '^catalog_products_g[0-9]+$' ORDER BY 1 LIMIT 1"
        ).fetchone()
        assert row is not None
        table = sql.Identifier("read", row[0])
        connection.execute(sql.SQL("UPDATE {} SET name = 'tampered'").format(table))
    found = imported.run("projections", "compare", "catalog_products", "-o", "json")
    assert found.code == 1
    assert found.json["diagnostics"][0]["code"] == "differences"
    mended = imported.run("projections", "rebuild", "catalog_products", "-o", "json")
    assert (mended.code, mended.data["projections"][0]["equal"]) == (0, False)
    assert imported.run("projections", "compare", "catalog_products").code == 0


def test_a_projection_that_is_being_rebuilt_is_busy(imported: Installation) -> None:
    with psycopg.connect(imported.told["database_url"]) as connection:
        connection.execute("SELECT pg_advisory_lock(%s, hashtext('stock_levels'))", (0x7EAF,))
        assert imported.run("projections", "rebuild", "stock_levels").code == 5


def test_a_rebuild_waits_to_be_promoted_and_can_be_taken_back(imported: Installation) -> None:
    built = imported.run("projections", "rebuild", "stock_levels", "--promote", "never", "-o", "json")
    assert (built.code, built.data["projections"][0]["promoted"]) == (0, False)
    assert built.json["diagnostics"][0]["hint"] == "ccontrol projections promote stock_levels"
    asked = imported.run("projections", "rebuild", "stock_levels", "--promote", "ask")
    assert asked.code == 9, "nobody can be asked, so nothing is promoted"
    promoted = imported.run("projections", "promote", "stock_levels", "-o", "json")
    assert (promoted.code, promoted.data["projections"][0]["promoted"]) == (0, True)
    assert imported.run("projections", "promote", "stock_levels").code == 3, (
        "there is nothing left to promote"
    )
    assert imported.run("projections", "rollback", "stock_levels").code == 0
    shown = imported.run("projections", "show", "stock_levels", "-o", "json").data
    assert [job["act"] for job in shown["jobs"][:2]] == ["rollback", "promote"]
    assert {job["state"] for job in shown["jobs"]} <= {"done", "failed"}
    assert {each["status"] for each in shown["generations"]} == {"live", "kept"}
    assert imported.run("projections", "rebuild", "stock_levels", "--from", "100").code == 9
    lines = imported.run(
        "projections", "rebuild", "stock_levels", "--from", "0", "--batch", "7", "-o", "jsonl"
    )
    progress = [json.loads(line)["progress"] for line in lines.err.splitlines() if line.startswith("{")]
    assert progress[-1]["done"] == progress[-1]["total"] == lines.json["events"]
    assert lines.json["promoted"] is True


def test_a_detached_rebuild_is_done_by_the_projector_and_seen(imported: Installation) -> None:
    told = imported.run("projections", "rebuild", "parties_directory", "--detach", "-o", "json")
    assert told.code == 0, told.err
    (asked,) = told.data["jobs"]
    deadline = time.monotonic() + 60
    while True:
        jobs = imported.run("projections", "show", "parties_directory", "-o", "json").data["jobs"]
        (job,) = [job for job in jobs if job["id"] == asked["id"]]
        if job["state"] not in ("queued", "running") or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert (job["state"], job["outcome"]["promoted"], job["outcome"]["equal"]) == ("done", True, True)
    assert job["progress"]["done"] == job["progress"]["total"]


@contextmanager
def api_client(imported: Installation) -> Iterator[httpx2.Client]:
    """Signed in over HTTP."""
    with httpx2.Client(base_url=imported.told["url"], timeout=60) as client:
        signed_in = client.post("/v1/auth/login", json=imported.told["login"]).json()
        client.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
        yield client


@contextmanager
def switching_held(imported: Installation) -> Iterator[psycopg.Connection]:
    """A question in flight: whatever is rebuilt gets ready to be served, and is not served."""
    with psycopg.connect(imported.told["database_url"]) as connection:
        connection.execute("LOCK TABLE read.projections IN ACCESS SHARE MODE")
        yield connection


def until_built(connection: psycopg.Connection, name: str) -> int:
    """Wait until all of another generation is built; its number."""
    question = (
        "SELECT g.generation FROM read.generations g JOIN read.checkpoints c USING (projection, generation) "
        "JOIN ccontrol.partition_heads h USING (partition) WHERE g.status = 'building' AND g.indexed "
        "AND g.projection = %s GROUP BY 1 HAVING bool_and(c.position = h.position)"
    )
    found: list[int] = []

    def built() -> bool:
        row = connection.execute(question, (name,)).fetchone()
        found[:] = row or ()
        return bool(found)

    assert wait_until(built, timeout_seconds=60)
    return found[0]


def job_of(imported: Installation, name: str) -> dict[str, Any]:
    """The latest job of a projection."""
    (job,) = imported.run("jobs", "list", "--projection", name, "--limit", "1", "-o", "json").data["jobs"]
    shown: dict[str, Any] = imported.run("jobs", "show", job["id"], "-o", "json").data
    assert (shown["id"], shown["requested_at"]) == (job["id"], job["requested_at"])
    return shown


def test_a_detached_rebuild_whose_process_is_killed_is_taken_over(imported: Installation) -> None:
    name = "parties_directory"
    with switching_held(imported) as connection:
        assert imported.run("projections", "rebuild", name, "--detach").code == 0
        generation = until_built(connection, name)
        owner = "SELECT owner FROM read.jobs WHERE projection = %s AND state = 'running'"
        ((first,),) = connection.execute(owner, (name,)).fetchall()
        asked = job_of(imported, name)
        assert asked["state"] == "running"
        os.kill(int(first.rpartition(":")[2]), signal.SIGKILL)

        def taken_over() -> bool:
            rows = connection.execute(owner, (name,)).fetchall()
            # Nobody is said to do it who does not live.
            return bool(rows) and rows[0][0] not in (None, first)

        assert wait_until(taken_over, timeout_seconds=60)
        assert job_of(imported, name)["state"] == "running"
    assert wait_until(lambda: job_of(imported, name)["state"] != "running", timeout_seconds=60)
    done = job_of(imported, name)
    assert (done["id"], done["state"]) == (asked["id"], "done")
    assert (done["started_at"], done["requested_at"]) == (asked["started_at"], asked["requested_at"])
    assert (done["outcome"]["promoted"], done["outcome"]["generation"]) == (True, generation)
    with api_client(imported) as api:
        assert api.get(f"/v1/jobs/{done['id']}").json() == done


def test_a_job_can_be_cancelled_and_one_there_is_none_of_is_not_found(imported: Installation) -> None:
    name = "parties_directory"
    with switching_held(imported) as connection:
        assert imported.run("projections", "rebuild", name, "--detach").code == 0
        until_built(connection, name)
        job = job_of(imported, name)
        again = imported.run("projections", "rebuild", name, "--detach")
        assert (again.code, f"ccontrol jobs show {job['id']}" in again.err) == (5, True)
        assert imported.run("jobs", "cancel", job["id"]).code == 0
        assert wait_until(lambda: job_of(imported, name)["state"] == "cancelled", timeout_seconds=60)
    assert imported.run("jobs", "show", "job_00000000000000000000000000").code == 3
    assert imported.run("jobs", "show", "nonsense").code == 2


def test_an_interrupted_rebuild_goes_on_where_it_stopped(imported: Installation) -> None:
    name = "stock_levels"
    with switching_held(imported) as connection:
        rebuilding = imported.start("projections", "rebuild", name, "-o", "json")
        generation = until_built(connection, name)
        rebuilding.send_signal(signal.SIGINT)
        out, err = rebuilding.communicate(timeout=60)
    assert rebuilding.returncode == 130, err
    assert f"ccontrol projections rebuild {name}" in err
    (said,) = json.loads(out)["diagnostics"]
    assert said["code"] == "interrupted"
    assert job_of(imported, name)["state"] == "interrupted"
    again = imported.run("projections", "rebuild", name, "-o", "json")
    assert again.code == 0, again.err
    (each,) = again.data["projections"]
    assert (each["generation"], each["promoted"], each["equal"]) == (generation, True, True)
    assert job_of(imported, name)["state"] == "done"


def test_a_killed_rebuild_is_nobodys_job_and_goes_on_when_called_again(imported: Installation) -> None:
    name = "stock_levels"
    with switching_held(imported) as connection:
        rebuilding = imported.start("projections", "rebuild", name)
        generation = until_built(connection, name)
        rebuilding.kill()
        rebuilding.communicate(timeout=60)
    again: list[Said] = []

    def not_busy() -> bool:
        """PostgreSQL notices within two seconds that nobody is there any more, whatever it is doing."""
        again[:] = [imported.run("projections", "rebuild", name, "-o", "json")]
        return again[0].code != 5

    assert wait_until(not_busy, timeout_seconds=60)
    assert again[0].code == 0, again[0].err
    assert again[0].data["projections"][0]["generation"] == generation
    states = imported.run("jobs", "list", "--projection", name, "--limit", "2", "-o", "json").data["jobs"]
    assert [job["state"] for job in states] == ["done", "interrupted"]


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(imported: Installation) -> None:
    screen, terminal = pty.openpty()
    rebuilding = imported.start("projections", "rebuild", "stock_levels", terminal=terminal)
    os.close(terminal)
    shown = b""
    with suppress(OSError):  # the terminal ends with the last who had it
        while chunk := os.read(screen, 65_536):
            shown += chunk
    os.close(screen)
    assert rebuilding.communicate(timeout=60)[0].count("stock_levels") == 1
    assert rebuilding.returncode == 0
    text = shown.decode()
    assert "\x1b[" in text, "a bar is drawn again and again in its place"
    assert re.search(r"stock_levels@1.*━.*100%.*serving @1", text)

    plain = imported.start("projections", "rebuild", "stock_levels")
    err = plain.communicate(timeout=60)[1]
    assert "\x1b" not in err
    assert re.search(r"^ccontrol: stock_levels@1  100 %  [0-9,]+/[0-9,]+ events  ", err, re.MULTILINE)

    lines = imported.start("projections", "rebuild", "stock_levels", "-o", "jsonl")
    out, err = lines.communicate(timeout=60)
    progress = [json.loads(line)["progress"] for line in err.splitlines() if line.startswith("{")]
    assert {each["projection"] for each in progress} == {"stock_levels"}
    assert progress[-1]["done"] == progress[-1]["total"]
    assert json.loads(out)["promoted"] is True


def test_one_event_is_left_out_only_for_a_reason_and_of_the_books_only_by_breaking_the_glass(
    imported: Installation,
) -> None:
    with psycopg.connect(imported.told["database_url"], autocommit=True) as connection:
        connection.execute(
            "INSERT INTO read.failures (projection, partition, position, error, version, tries) "
            "SELECT name, 3, 900001, 'RuntimeError: trial', 1, 5 "
            "FROM read.projections WHERE name IN ('stock_levels', 'ledger_lines')"
        )
        status = imported.run("projections", "status", "-o", "json")
        assert status.code == 1
        assert {each["code"] for each in status.json["diagnostics"] if each["level"] == "warning"} == {
            "projection-failed"
        }
        dead = imported.run("dlq", "list", "-o", "json")
        assert dead.code == 1
        assert [(each["queue"], each["message_id"], each["error"]) for each in dead.data["letters"]] == [
            ("projections.ledger_lines", "3:900001", "RuntimeError: trial"),
            ("projections.stock_levels", "3:900001", "RuntimeError: trial"),
        ]
        letter = ("projections.ledger_lines", "3:900001")
        assert imported.run("dlq", "show", *letter, "-o", "json").data["message"]["code_version"] == 1
        refused = imported.run("dlq", "discard", *letter, "--reason", "trial")
        assert refused.code == 9
        assert "--break-glass" in refused.err
        assert imported.run("dlq", "retry", "projections.stock_levels", "3:900001").code == 0
        assert imported.run("dlq", "retry", "projections.stock_levels", "3:900001").code == 3
        connection.execute("UPDATE read.failures SET resolved_at = NULL WHERE position = 900001")
        where = ("--position", "900001", "--reason", "trial")
        assert imported.run("projections", "skip", "ledger_lines", *where).code == 9
        assert imported.run("projections", "skip", "ledger_lines", *where, "--break-glass").code == 0
        assert imported.run("projections", "skip", "stock_levels", "--position", "900001").code == 2
        assert (
            imported.run("projections", "skip", "stock_levels", "--position", "5", "--reason", "x").code == 5
        )
        assert imported.run("projections", "skip", "stock_levels", *where).code == 0
        assert imported.run("projections", "skip", "no_such_thing", *where).code == 3
        (skip,) = imported.run("projections", "show", "ledger_lines", "-o", "json").data["skips"]
        assert (skip["position"], skip["reason"], skip["break_glass"]) == (900001, "trial", True)
        assert "@" in skip["actor"]
        connection.execute("TRUNCATE read.skips")


def test_a_projection_can_be_paused(imported: Installation) -> None:
    assert imported.run("projections", "pause", "stock_levels", "--reason", "trial").code == 0
    status = imported.run("projections", "status", "-o", "json").data["projections"]
    paused = next(each for each in status if each["name"] == "stock_levels")
    assert (paused["state"], paused["reason"]) == ("paused", "trial")
    assert imported.run("projections", "resume", "stock_levels").code == 0
    assert imported.run("projections", "pause", "no_such_thing", "--reason", "trial").code == 3


def test_reports_are_those_of_the_api(imported: Installation) -> None:
    dre = imported.run("report", "dre", "--period", "2018-01", "-o", "json").data
    assert dre["net_income"]["amount"] == "201.00"
    balance = imported.run("report", "trial-balance", "--period", "2018-01", "-o", "json").data
    assert balance["totals"][0]["in_balance"] is True
    ageing = imported.run("report", "ageing", "--on", "2018-01-31", "-o", "json").data
    assert ageing["totals"][0]["total"]["amount"] == "201.00"
    table = imported.run("report", "dre", "--from", "2017-10", "--to", "2018-01", "--by-month")
    assert "Receita líquida" in table.out
    assert imported.run("report", "trial-balance").code == 0
    assert imported.run("report", "ageing", "--by-party").code == 0


def test_what_happened_is_told_and_people_are_masked(imported: Installation) -> None:
    told = imported.run(
        "events", "tail", "--since", "1d", "--no-follow", "-o", "jsonl", "--type", "parties.*"
    )
    (event,) = [json.loads(line) for line in told.out.splitlines() if imported.told["company_id"] in line]
    assert event["data"]["name"] == "•••"
    assert "Cliente" not in told.out
    one = imported.run("events", "show", event["id"], "-o", "json").data["event"]
    assert one == event
    party = event["data"]["party_id"]
    history = imported.run("events", "history", "party", party, "-o", "json").data["events"]
    assert [each["type"] for each in history] == ["parties.party_registered"]
    assert imported.run("events", "history", "party", "pty_00000000000000000000000000").code == 3
    assert imported.run("events", "history", "nonsense", "x").code == 2


def test_a_sale_is_replayed_to_any_of_its_versions(imported: Installation) -> None:
    told = imported.run(
        "events", "tail", "--since", "1d", "--no-follow", "-o", "jsonl", "--type", "sales.sale_confirmed"
    )
    events = [json.loads(line) for line in told.out.splitlines() if imported.told["company_id"] in line]
    sale, position = events[0]["data"]["sale_id"], events[0]["position"]
    now = imported.run("audit", "replay", "sale", sale, "-o", "json").data
    assert (now["version"], now["state"]["status"]) == (2, "confirmed")
    for past in (("--version", "1"), ("--position", str(position - 1))):
        then = imported.run("audit", "replay", "sale", sale, *past, "-o", "json").data
        assert (then["version"], then["state"]["status"], len(then["events"])) == (1, "draft", 1)
    assert imported.run("audit", "replay", "sale", sale, "--as-of", "2020-01-01").code == 3
    instalment = imported.run("events", "history", "receivable", events[0]["data"]["receivable_id"])
    assert "settlement.receivable_created" in instalment.out


def test_the_history_goes_into_a_package(imported: Installation, tmp_path: Path) -> None:
    out = str(tmp_path / "pkg.zip")
    made = imported.run(
        "audit", "export", "--out", out, "--company", imported.told["company_id"], "-o", "json"
    )
    assert (made.code, made.data["companies"]) == (0, 1), made.err
    checked = imported.run("audit", "check-package", out, "-o", "json", CCONTROL_STATE="nowhere")
    assert (checked.code, checked.data["ok"], checked.data["events"]) == (0, True, made.data["events"])
    full = str(tmp_path / "full.zip")
    assert imported.run("audit", "export", "--out", full, "--pii", "full", "--from", "1d").code == 0
    assert "Intact" in imported.run("audit", "check-package", full).out
    Path(out).write_bytes(Path(out).read_bytes()[:-100])
    refused = imported.run("audit", "check-package", out, "-o", "json")
    assert (refused.code, refused.data["violations"][0]["kind"]) == (7, "package-refused")
    assert "NOT intact" in imported.run("audit", "check-package", out).out
    assert imported.run("audit", "check-package", str(tmp_path / "none.zip")).code == 2
    assert imported.run("audit", "export", "--out", str(tmp_path / "no" / "x.zip")).code == 2


def test_closing_a_period_signs_the_chain_at_once(running: Installation) -> None:
    from runtime.cli.api_client import ApiClient
    from runtime.cli.instance import Instance, Login

    owner = running.told["login"]
    made = running.run("companies", "register", "Loja Cinco", "--owner-email", owner["email"], "-o", "json")
    company = made.data["company_id"]
    command = {"topic": "ledger.close_period", "target": "2020-01", "idempotency_key": "close", "body": {}}
    where = Instance(running.told["url"], None, Login(owner["email"], owner["password"], company))
    with ApiClient(where) as api:
        api.post("/v1/commands", json.dumps({"commands": [command]}).encode())
    length = running.run("audit", "heads", "-o", "json").data["heads"][company]["length"]
    folder = running.state / "blobs" / "checkpoints" / str(decode("cmp", company))
    deadline = time.monotonic() + 30
    while length not in [int(each.name[:12]) for each in folder.glob("*.json")]:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_history_holds_until_somebody_touches_it(imported: Installation, tmp_path: Path) -> None:
    heads = tmp_path / "heads.json"
    heads.write_text(imported.run("audit", "heads", "-o", "json").out)
    intact = imported.run("audit", "verify", "--against", str(heads), "-o", "json")
    assert intact.code == 0, intact.out
    assert intact.data["ok"] is True
    assert intact.data["events"] > 50
    assert imported.told["company_id"] in intact.data["heads"]
    assert "✔ hash chain" in imported.run("audit", "verify", "--company", imported.told["company_id"]).out

    changed = json.loads(heads.read_text())
    changed["data"]["heads"][imported.told["company_id"]]["hash"] = "00" * 32
    heads.write_text(json.dumps(changed))
    assert imported.run("audit", "verify", "--against", str(heads)).code == 7

    # The installation keeps signed heads itself, outside its database.
    kept = sorted((imported.state / "blobs" / "checkpoints").rglob("*.json"))
    assert intact.data["heads_compared"] >= 1
    before = kept[0].read_text()
    kept[0].write_text(json.dumps({**json.loads(before), "hash": "00" * 32}) + "\n")
    found = imported.run("audit", "verify", "-o", "json")
    assert (found.code, [each["kind"] for each in found.data["violations"]]) == (7, ["head-differs"])
    kept[0].write_text("{cut off")
    assert imported.run("audit", "verify").code == 7
    kept[0].write_text(before)

    with psycopg.connect(imported.told["database_url"]) as connection:
        connection.execute("ALTER TABLE ccontrol.events DISABLE TRIGGER ALL")
        connection.execute(
            "UPDATE ccontrol.events SET data = replace(data, 'Minha Empresa', 'Outra Empresa') "
            "WHERE topic = 'companies.company_registered'"
        )
    broken = imported.run("audit", "verify", "-o", "json")
    assert broken.code == 7
    assert broken.data["ok"] is False
    (violation,) = broken.data["violations"]
    assert violation["kind"] == "event-altered"
    assert violation["position"] is not None
    shown = imported.run("audit", "verify")
    assert "✘ hash chain" in shown.out
