"""What a newcomer does first, against the real thing: sell, be paid, look, and ask where it comes from."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from psycopg import sql

from runtime.servers.process import wait_until
from tests.journey.conftest import House

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]


def accepted(answer: Any) -> Any:
    assert answer.status_code in {200, 201}, answer.text
    return answer


def test_a_sale_is_seen_at_once_explained_to_the_event_and_undone(house: House) -> None:
    name = uuid4().hex[:8]
    product = accepted(house.post("/v1/products", {"sku": name, "name": "Caneta", "price": "10.00"})).json()
    accepted(
        house.post(
            f"/v1/products/{product['resource']['id']}/receive-stock",
            {"quantity": "5", "unit_cost": "4.00", "origin": "opening"},
        )
    )
    party = accepted(house.post("/v1/parties", {"name": "Pessoa de Teste"})).json()["resource"]["id"]
    bank = accepted(house.post("/v1/bank-accounts", {"name": f"Banco {name}"})).json()["resource"]["id"]
    lines = [{"product_id": product["resource"]["id"], "quantity": "2"}]
    sale = accepted(house.post("/v1/sales", {"customer_id": party, "lines": lines})).json()["resource"]["id"]
    confirmed = accepted(house.post(f"/v1/sales/{sale}/confirm", {}))

    shown = house.get(f"/v1/sales/{sale}", confirmed.headers["Consistency-Token"])
    assert shown.json()["status"] == "confirmed"
    listed = house.get(f"/v1/instalments?party_id={party}", confirmed.headers["Consistency-Token"]).json()
    (instalment,) = listed["data"]
    assert instalment["open_amount"] == {"amount": "20.00", "currency": "BRL"}

    body = {"amount": {"amount": "20.00", "currency": "BRL"}, "bank_account_id": bank}
    paid = accepted(house.post(f"/v1/instalments/{instalment['id']}/settle", body))
    account = house.get(f"/v1/bank-accounts/{bank}", paid.headers["Consistency-Token"]).json()
    assert account["balance"] == {"amount": "20.00", "currency": "BRL"}

    # From the figure to its lines, from a line to its event, from the event to who did it.
    entry = house.get(f"/v1/ledger/lines?document_id={sale}", paid.headers["Consistency-Token"]).json()[
        "data"
    ]
    assert (
        sum(int(line["amount"]["amount"].replace(".", "")) for line in entry if line["side"] == "D") == 2800
    )
    event = accepted(house.get(f"/v1/audit/events/{entry[0]['event_id']}")).json()
    assert event["topic"] == "ledger.journal_entry_posted"
    assert event["command_id"] == confirmed.json()["command_id"]

    refused = house.post(f"/v1/sales/{sale}/cancel", {"reason": "engano"})
    assert (refused.status_code, refused.json()["code"]) == (409, "receivable-already-settled")


def test_two_hundred_identical_requests_have_one_effect(house: House) -> None:
    body, key = {"sku": uuid4().hex, "name": "Uma vez só"}, uuid4().hex

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: house.post("/v1/products", body, key), range(200)))
    done = [answer for answer in answers if answer.status_code == 201]
    # Whoever came while the first was still being stored may have been asked to come back.
    assert all(a.status_code == 201 or a.json()["code"] == "request-in-progress" for a in answers)
    assert len({answer.text for answer in done}) == 1
    with psycopg.connect(house.described["database_url"]) as connection:
        row = connection.execute(
            "SELECT count(*) FROM audit.events WHERE data ->> 'sku' = %s", (body["sku"],)
        ).fetchone()
    assert row == (1,)


def test_reports_are_fresh_with_the_token_while_many_write(house: House) -> None:
    def write_then_read(number: int) -> bool:
        answer = accepted(house.post("/v1/parties", {"name": f"Cliente {number}"}))
        party = answer.json()["resource"]["id"]
        shown = house.get(f"/v1/parties/{party}", answer.headers["Consistency-Token"])
        return bool(shown.status_code == 200 and shown.json()["name"] == f"Cliente {number}")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write_then_read, range(100)))


def test_history_verifies_and_reports_are_the_fold_of_it(house: House) -> None:
    for number in range(3):
        accepted(house.post("/v1/products", {"sku": uuid4().hex, "name": f"Produto {number}"}))
    verified = house.ccontrol("audit", "verify", "-o", "json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["data"]["violations"] == []
    questions = (
        "/v1/products",
        "/v1/parties",
        "/v1/ledger/trial-balance",
        "/v1/audit/events",
        "/v1/dashboard",
    )
    before = [_answer(house, question) for question in questions]
    rebuilt = house.ccontrol("projections", "rebuild", "--all", "-o", "json")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert [_answer(house, question) for question in questions] == before


def _answer(house: House, question: str) -> bytes:
    """As bytes: equal must mean equal."""
    answer = accepted(house.get(question))
    return bytes(answer.content)


def test_a_superusers_edit_of_history_is_found_and_named(house: House) -> None:
    accepted(house.post("/v1/products", {"sku": uuid4().hex, "name": "Antes"}))
    with psycopg.connect(house.described["database_url"], autocommit=True) as connection:
        row = connection.execute(
            "SELECT partition, position, data FROM ccontrol.events "
            "WHERE topic = 'catalog.product_registered' ORDER BY position DESC LIMIT 1"
        ).fetchone()
        assert row is not None
        partition, position, data = row
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute("UPDATE ccontrol.events SET data = '{}' WHERE position = %s", (position,))
        _force(connection, partition, position, data.replace("Antes", "Outro"))
        try:
            verified = house.ccontrol("audit", "verify", "-o", "json")
            assert verified.returncode == 7
            violations = json.loads(verified.stdout)["data"]["violations"]
            assert position in {violation["position"] for violation in violations}
        finally:
            _force(connection, partition, position, data)
    assert house.ccontrol("audit", "verify").returncode == 0


def _force(connection: psycopg.Connection[Any], partition: int, position: int, data: str) -> None:
    """What only a superuser can: take the triggers away for a moment."""
    triggers = connection.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'ccontrol.events'::regclass AND NOT tgisinternal"
    ).fetchall()
    connection.execute("ALTER TABLE ccontrol.events DISABLE TRIGGER USER")
    connection.execute(
        "UPDATE ccontrol.events SET data = %s WHERE partition = %s AND position = %s",
        (data, partition, position),
    )
    for (name,) in triggers:
        connection.execute(
            sql.SQL("ALTER TABLE ccontrol.events ENABLE ALWAYS TRIGGER {}").format(sql.Identifier(name))
        )


def test_an_api_that_ends_lets_its_streams_go_at_once(house: House) -> None:
    """One of changes and one of a job that nobody does, neither of which has an end of its own."""
    pids = {
        role["role"]: role["pid"]
        for role in json.loads(house.ccontrol("ps", "-o", "json").stdout)["data"]["roles"]
    }
    os.kill(pids["projector"], signal.SIGSTOP)
    try:
        asked = house.ccontrol("projections", "rebuild", "webhooks_endpoints", "--detach", "-o", "json")
        (job,) = json.loads(asked.stdout)["data"]["jobs"]
        with (
            house.client.stream("GET", "/v1/stream") as changes,
            house.client.stream("GET", f"/v1/jobs/{job['id']}/stream") as progress,
        ):
            lines = [answer.iter_lines() for answer in (changes, progress)]
            assert [next(each)[:3] for each in lines] == ["id:", "eve"]
            os.kill(pids["api"], signal.SIGTERM)
            for each in lines:
                # A cut would raise: these are whole answers.
                list(each)
        assert wait_until(lambda: not Path(f"/proc/{pids['api']}").exists(), timeout_seconds=60)
    finally:
        os.kill(pids["projector"], signal.SIGCONT)
    assert "graceful shutdown exceeded" not in (house.state / "logs" / "api.log").read_text()
    assert wait_until(lambda: is_ready(house), timeout_seconds=60)


def is_ready(house: House) -> bool:
    try:
        return bool(house.client.get("/readyz").json()["status"] == "ok")
    except httpx2.TransportError:
        return False
