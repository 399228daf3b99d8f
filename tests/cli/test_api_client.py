"""The client keeps signed in, reads its own writes, and waits where waiting helps."""

import json
from collections.abc import Callable

import httpx2
import pytest

from runtime.cli.api_client import ApiClient
from runtime.cli.instance import Instance, Login
from runtime.cli.outcome import Exit, Stop

LOGIN = Instance("http://books.test", None, Login("clerk@example.test", "correct horse", "cmp_A"))
TOKEN = Instance("http://books.test", "given", None)
Handler = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody really sleeps; what would have been slept is kept."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


class Server:
    """Answers each path from a queue; keeps what it was asked."""

    def __init__(self, *answers: tuple[int, object, dict[str, str]] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx2.Request] = []
        self.sign_ins = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/auth/login":
            self.sign_ins += 1
            assert json.loads(request.content) == {
                "email": "clerk@example.test",
                "password": "correct horse",
            }
            return httpx2.Response(200, json={"access_token": f"token-{self.sign_ins}"})
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body, headers = answer
        return httpx2.Response(status, json=body, headers=headers)


def client(server: Server, at: Instance = LOGIN) -> ApiClient:
    return ApiClient(at, transport=httpx2.MockTransport(server))


def ok(body: object, **headers: str) -> tuple[int, object, dict[str, str]]:
    return 200, body, {name.replace("_", "-"): value for name, value in headers.items()}


def problem(status: int, code: str, **more: object) -> tuple[int, object, dict[str, str]]:
    return status, {"code": code, "title": "No", **more}, {}


def test_it_signs_in_when_it_first_must_and_works_in_one_company() -> None:
    server = Server(ok({}), ok({}))
    with client(server) as api:
        api.get("/v1/me")
        api.get("/v1/me")
    assert server.sign_ins == 1
    assert server.asked[0].headers["Authorization"] == "Bearer token-1"
    assert server.asked[0].headers["Ccontrol-Company"] == "cmp_A"


def test_a_token_that_ran_out_is_replaced() -> None:
    server = Server(ok({}), problem(401, "unauthenticated"), ok({"done": True}))
    with client(server) as api:
        api.get("/v1/sales")
        assert api.post("/v1/commands", b"{}") == {"done": True}
    assert server.sign_ins == 2
    assert server.asked[-1].headers["Authorization"] == "Bearer token-2"
    assert server.asked[-1].content == b"{}"


def test_a_given_token_cannot_be_replaced() -> None:
    with client(Server(problem(401, "unauthenticated")), TOKEN) as api, pytest.raises(Stop) as stop:
        api.get("/v1/me")
    assert stop.value.exit_code == Exit.DENIED


def test_queries_ask_for_what_was_written() -> None:
    newer, older = "ct1-0000001-00000000S0R1H-b", "ct1-0000001-00000000S0R1G-c"
    server = Server(ok({}, Consistency_Token=newer), ok({}, Consistency_Token=older), ok({}))
    with client(server) as api:
        api.post("/v1/commands", b"{}")
        api.post("/v1/commands", b"{}")
        api.get("/v1/sales")
    assert server.asked[-1].headers["Consistency-Token"] == newer


def test_every_page_of_a_list_is_read() -> None:
    def page(rows: list[dict[str, int]], cursor: str | None) -> tuple[int, object, dict[str, str]]:
        return ok({"data": rows, "page": {"next_cursor": cursor}})

    one, two, three = {"n": 1}, {"n": 2}, {"n": 3}
    server = Server(page([one, two], "more"), page([three], None))
    with client(server) as api:
        assert [*api.rows("/v1/sales", {"status": "draft"})] == [one, two, three]
    assert dict(server.asked[1].url.params) == {"status": "draft", "limit": "200", "cursor": "more"}


def test_a_busy_server_is_waited_for(impatient: list[float]) -> None:
    server = Server(
        (429, {"code": "rate-limited"}, {"Retry-After": "7"}), problem(503, "x"), problem(504, "y"), ok({})
    )
    with client(server) as api:
        api.post("/v1/commands", b"{}")
    assert impatient[0] == 7.0
    assert len(server.asked) == 4


def test_a_report_that_stands_still_is_not_waited_for(impatient: list[float]) -> None:
    server = Server(problem(503, "projection-behind", have=3, state="stopped"))
    with client(server) as api, pytest.raises(Stop) as stop:
        api.get("/v1/sales")
    assert (stop.value.exit_code, impatient) == (Exit.UNREACHABLE, [])


def test_a_report_that_catches_up_is_waited_for_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + 20.0))
    server = Server(
        *(problem(503, "projection-behind", have=n, state="behind") for n in range(1, 60)), ok({})
    )
    with client(server) as api:
        api.get("/v1/sales")
    standing = Server(*(problem(503, "projection-behind", have=1, state="behind") for _ in range(60)))
    with client(standing) as api, pytest.raises(Stop):
        api.get("/v1/sales")


def test_an_answer_that_got_lost_is_asked_for_again() -> None:
    server = Server(ok({}), httpx2.ReadError("gone"), httpx2.ConnectError("starting"), ok({"done": True}))
    with client(server) as api:
        api.get("/v1/me")
        assert api.post("/v1/commands", b"{}") == {"done": True}


def test_nobody_there_is_said_at_once(impatient: list[float]) -> None:
    with client(Server(httpx2.ConnectError("refused")), TOKEN) as api, pytest.raises(Stop) as stop:
        api.get("/v1/me")
    assert (stop.value.exit_code, impatient) == (Exit.UNREACHABLE, [])
    assert "http://books.test" in stop.value.message


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [
        (400, Exit.USAGE),
        (403, Exit.DENIED),
        (404, Exit.NOT_FOUND),
        (409, Exit.CONFLICT),
        (412, Exit.CONFLICT),
        (422, Exit.USAGE),
        (500, Exit.INTERNAL),
    ],
)
def test_problems_end_with_their_exit_code(status: int, exit_code: Exit) -> None:
    with client(Server(problem(status, "some-code"))) as api, pytest.raises(Stop) as stop:
        api.get("/v1/sales")
    assert (stop.value.exit_code, stop.value.code) == (exit_code, "some-code")


def test_companies_are_chosen_by_name_or_id() -> None:
    me = ok({"companies": [{"id": "cmp_A", "name": "Um"}, {"id": "cmp_B", "name": "Dois"}]})
    with client(Server(me, me, me)) as api:
        api.work_in("Dois")
        assert api.company_id == "cmp_B"
        api.work_in("cmp_A")
        assert api.company_id == "cmp_A"
        with pytest.raises(Stop, match="no company") as stop:
            api.work_in("Tres")
    assert stop.value.exit_code == Exit.NOT_FOUND


def test_two_companies_of_one_name_must_be_told_apart() -> None:
    me = ok({"companies": [{"id": "cmp_A", "name": "Um"}, {"id": "cmp_B", "name": "Um"}]})
    with client(Server(me)) as api, pytest.raises(Stop, match="several") as stop:
        api.work_in("Um")
    assert stop.value.exit_code == Exit.USAGE
