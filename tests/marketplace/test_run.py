"""What is sent, in which requests, and what is made of the answers."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from runtime.marketplace import run
from runtime.marketplace.mapping import Asked
from runtime.marketplace.read import CUSTOMERS, ORDERS, Export, read
from tests.marketplace.exports import ExportFolder

COMPANY = UUID("019363d2-7a00-7000-8000-000000000001")
UNTIL = date(2018, 10, 17)
RECORDED: dict[str, Any] = {"status": 201, "replayed": False}


class FakeDoors:
    """Keeps the requests; answers as it is told, by topic, each refusal as often as it stands there."""

    def __init__(self, **problems: list[dict[str, Any]]) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.problems = {topic.replace("__", "."): list(found) for topic, found in problems.items()}

    def post(self, path: str, body: bytes) -> dict[str, Any]:
        assert path == "/v1/commands"
        sent = json.loads(body)
        assert sent["atomic"] is False
        self.requests.append(sent["commands"])
        return {"results": [self._result(command["topic"]) for command in sent["commands"]]}

    def rows(self, path: str, parameters: dict[str, str]) -> Iterator[dict[str, Any]]:
        raise AssertionError("nothing is read while sending")

    @property
    def commands(self) -> list[dict[str, Any]]:
        return [command for request in self.requests for command in request]

    def _result(self, topic: str) -> dict[str, Any]:
        waiting = self.problems.get(topic)
        return {"status": 409, "problem": waiting.pop(0)} if waiting else RECORDED


def send(doors: FakeDoors, export: Export) -> run.Sent:
    """Send all of it, counting progress."""
    progress: list[int] = []
    total = run.drop_unfit(COMPANY, export, UNTIL)
    sent = run.send(doors, COMPANY, export, UNTIL, progress.append)
    assert sum(progress) == total
    return sent


def test_master_data_goes_before_orders(export: ExportFolder) -> None:
    doors = FakeDoors()
    sent = send(doors, read(export.write()))
    assert [[command["topic"] for command in request] for request in doors.requests] == [
        ["treasury.open_bank_account", "parties.register_party", "catalog.register_product"],
        ["sales.draft_sale", "sales.confirm_sale", "settlement.settle_instalment"],
    ]
    assert (sent.recorded, sent.known, sent.refused) == (6, 0, [])


def test_dates_and_reasons_stand_beside_the_body(export: ExportFolder) -> None:
    export.order("o2", status="canceled", approved="")
    doors = FakeDoors()
    send(doors, read(export.write()))
    cancel = next(command for command in doors.commands if command["topic"] == "sales.cancel_sale")
    assert cancel["effective_date"] == "2017-10-02"
    assert cancel["reason"] == "Pedido cancelado no marketplace"
    assert cancel["body"] == {}


def test_a_second_run_sends_exactly_the_same(export: ExportFolder) -> None:
    first, second = FakeDoors(), FakeDoors()
    send(first, read(export.write()))
    send(second, read(export.directory))
    assert first.requests == second.requests


def test_unfit_orders_are_refused_and_the_rest_goes_on(export: ExportFolder) -> None:
    export.order("o2")
    export.item("o2")
    export.payment("o2", "0.02", method="credit_card", instalments=361)
    found = read(export.write())
    doors = FakeDoors()
    send(doors, found)
    assert [(row.file, row.line, row.reason) for row in found.refused] == [
        (ORDERS, 3, "refused whole: 361 instalments, at most 360")
    ]
    assert sum(command["topic"] == "sales.draft_sale" for command in doors.commands) == 1


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("parties__register_party", "already-exists"),
        ("sales__draft_sale", "already-exists"),
        ("sales__confirm_sale", "sale-not-draft"),
        ("settlement__settle_instalment", "instalment-not-open"),
    ],
)
def test_what_somebody_else_has_imported_is_known(export: ExportFolder, topic: str, code: str) -> None:
    sent = send(FakeDoors(**{topic: [{"code": code, "title": "…"}]}), read(export.write()))
    assert (sent.recorded, sent.known, sent.refused) == (5, 1, [])


def test_a_refusal_names_the_row_once(export: ExportFolder) -> None:
    not_found = {"code": "not-found", "title": "There is no such thing"}
    doors = FakeDoors(
        sales__draft_sale=[{"code": "period-closed", "title": "The period is closed"}],
        sales__confirm_sale=[not_found],
        settlement__settle_instalment=[not_found],
    )
    sent = send(doors, read(export.write()))
    assert [(row.file, row.line, row.reason) for row in sent.refused] == [
        (ORDERS, 2, "sales.draft_sale: period-closed: The period is closed")
    ]


def test_a_refused_customer_is_named_too(export: ExportFolder) -> None:
    doors = FakeDoors(parties__register_party=[{"code": "already-claimed", "title": "Taken"}])
    sent = send(doors, read(export.write()))
    assert [(row.file, row.line) for row in sent.refused] == [(CUSTOMERS, 2)]


def test_commands_that_met_others_are_sent_again_in_their_order(export: ExportFolder) -> None:
    doors = FakeDoors(
        sales__confirm_sale=[{"code": "state-conflict", "title": "…", "retryable": True}],
        settlement__settle_instalment=[{"code": "not-found", "title": "…"}],
    )
    sent = send(doors, read(export.write()))
    assert sent.refused == []
    assert [command["topic"] for command in doors.requests[-1]] == [
        "sales.confirm_sale",
        "settlement.settle_instalment",
    ]


def test_what_never_goes_through_is_refused_in_the_end(export: ExportFolder) -> None:
    busy = {"code": "state-conflict", "title": "Busy", "retryable": True}
    sent = send(FakeDoors(sales__confirm_sale=[busy] * 99), read(export.write()))
    assert [row.reason for row in sent.refused] == ["sales.confirm_sale: state-conflict: Busy"]


def test_requests_hold_no_more_than_they_may_and_divide_no_order(tmp_path: Path) -> None:
    groups = [
        run.Group(
            ORDERS, number, [Asked("t", f"target{number}", f"k{n}", {"x": "y" * 900}) for n in range(300)]
        )
        for number in range(5)
    ]
    made = [*run.batches(groups)]
    assert [len(batch) for batch in made] == [300] * 5
    for batch in made:
        assert sum(len(entry.encoded) + 1 for entry in batch) < run.BYTES_MAX
    small = [run.Group(ORDERS, n, [Asked("t", "x", "k", {})]) for n in range(1200)]
    assert [len(batch) for batch in run.batches(small)] == [500, 500, 200]


def test_an_interruption_stops_what_has_not_begun(export: ExportFolder) -> None:
    class Interrupted(FakeDoors):
        def post(self, path: str, body: bytes) -> dict[str, Any]:
            super().post(path, body)
            raise KeyboardInterrupt

    doors = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        send(doors, read(export.write()))
    assert len(doors.requests) == 1
