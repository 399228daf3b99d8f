"""`ccontrol webhooks`: what it asks of the API, and what it says of the answers."""

import json
from collections.abc import Callable, Mapping, Sequence

import httpx2
import pytest

from runtime.cli import webhook_acts
from runtime.cli.api_client import ApiClient
from runtime.cli.instance import Instance
from runtime.cli.outcome import Exit
from runtime.cli.program import run

WEBHOOK = "whk_01JDCE8Z0M9T3VX4K7QAWB2R5N"
Answer = Callable[[httpx2.Request], httpx2.Response]


class Api:
    """Answers commands; `deliveries` are those of a test, look by look."""

    def __init__(self) -> None:
        self.commands: list[dict[str, object]] = []
        self.deliveries: list[Sequence[Mapping[str, object]]] = []
        self.log: list[dict[str, object]] = []
        self.state = "delivered"

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/v1/me":
            return httpx2.Response(200, json={"companies": [{"id": "cmp_A", "name": "A"}]})
        if path == "/v1/commands":
            command = json.loads(request.content)
            assert command.pop("idempotency_key").startswith("cli-")
            self.commands.append(command)
            makes_one = command["topic"] in ("webhooks.register_webhook", "webhooks.rotate_secret")
            secret = {"secret": "whsec_c2VjcmV0"} if makes_one else {}
            answer = {"command_id": "cmd_1", "resource": {"id": WEBHOOK}, "events": [{"id": "evt_1"}]}
            return httpx2.Response(201, json=answer | secret)
        if path == "/v1/webhook-deliveries":
            assert request.url.params["event_id"] == "evt_1"
            return httpx2.Response(200, json={"data": self.deliveries.pop(0)})
        delivery = {"id": path.rsplit("/", 1)[1], "state": self.state, "reason": "timeout"}
        return httpx2.Response(200, json={"delivery": delivery, "log": self.log})

    state = "delivered"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    served = Api()

    def connect(company: str | None = None) -> ApiClient:
        transport = httpx2.MockTransport(served)
        client = ApiClient(Instance("http://books.test", "given", None), transport=transport)
        client.work_in(company)
        return client

    monkeypatch.setattr("runtime.cli.api_client.connect", connect)
    monkeypatch.setattr(webhook_acts, "_LOOK_SECONDS", 0.0)
    return served


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        (
            "create https://erp.example.com/ --topic sales.* --topic *",
            {
                "topic": "webhooks.register_webhook",
                "body": {"url": "https://erp.example.com/", "topics": ["sales.*", "*"]},
            },
        ),
        (
            f"change {WEBHOOK} --description ours",
            {"topic": "webhooks.change_webhook", "target": WEBHOOK, "body": {"description": "ours"}},
        ),
        (f"enable {WEBHOOK}", {"topic": "webhooks.enable_webhook", "target": WEBHOOK, "body": {}}),
        (f"disable {WEBHOOK}", {"topic": "webhooks.disable_webhook", "target": WEBHOOK, "body": {}}),
        (f"rotate-secret {WEBHOOK}", {"topic": "webhooks.rotate_secret", "target": WEBHOOK, "body": {}}),
        (f"remove {WEBHOOK} --yes", {"topic": "webhooks.remove_webhook", "target": WEBHOOK, "body": {}}),
    ],
)
def test_each_asks_for_its_command(
    api: Api, capsys: pytest.CaptureFixture[str], command: str, asked: dict[str, object]
) -> None:
    assert run(["webhooks", *command.split()]) == Exit.DONE
    assert api.commands == [asked]
    makes_one = asked["topic"] in ("webhooks.register_webhook", "webhooks.rotate_secret")
    said = capsys.readouterr().out
    assert WEBHOOK in said
    assert ("whsec_c2VjcmV0" in said) == makes_one


def test_the_secret_is_in_what_programs_read(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["webhooks", "create", "https://erp.example.com/", "-o", "json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["data"]["secret"] == "whsec_c2VjcmV0"


def test_nothing_to_change_and_nobody_who_says_yes_are_mistakes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert run(["webhooks", "change", WEBHOOK]) == Exit.USAGE
    assert run(["webhooks", "remove", WEBHOOK]) == Exit.REFUSED
    assert api.commands == []


def test_a_test_waits_for_what_comes_of_it(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    states = ("pending", "delivered")
    api.deliveries = [[], *[[{"id": "whd_1", "state": state}] for state in states]]
    api.log = [{"number": 1, "status": 204, "milliseconds": 31}]
    assert run(["webhooks", "test", WEBHOOK]) == Exit.DONE
    assert capsys.readouterr().out == f"{WEBHOOK} was told: 204 after 31 ms\n"


def test_a_test_that_does_not_arrive_ends_with_one(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.state = "failed"
    api.deliveries = [[{"id": "whd_1", "state": "failed"}]]
    api.log = [{"number": 1, "status": None, "milliseconds": 12_000}]
    assert run(["webhooks", "test", WEBHOOK]) == Exit.FOUND
    assert capsys.readouterr().out == f"{WEBHOOK} was not reached: timeout after 12000 ms\n"


def test_a_test_that_nobody_sends_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_acts, "_PATIENCE_SECONDS", 0.0)
    api.deliveries = [[]]
    assert run(["webhooks", "test", WEBHOOK]) == Exit.UNREACHABLE
