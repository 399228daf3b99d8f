"""One call: to the address that was checked, to no other, and whatever the other side does, it ends."""

import asyncio
import ssl
from collections.abc import Sequence

import pytest

from integration.webhooks.calling import Answer, Caller, CallFailed, Resolve
from tests.webhooks.receiver import (
    BODY,
    NAME,
    OTHER_NAME,
    Receiver,
    answering,
    authority,
    receiving,
    resolving,
    saying,
)
from write_model.values.web_address import WebAddress

pytestmark = pytest.mark.asyncio

LOCAL = resolving(["127.0.0.1"])


@pytest.fixture
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver of these tests is on this machine, where nothing may be called otherwise."""
    monkeypatch.setattr("integration.webhooks.calling.is_public", lambda address: address == "127.0.0.1")


async def call(
    receiver: Receiver,
    resolve: Resolve = LOCAL,
    *,
    name: str = NAME,
    seconds: float = 3,
    path: str = "/x?y=1",
) -> Answer:
    caller = Caller(resolve=resolve, trust=authority().trust(), total_seconds=seconds)
    try:
        address = WebAddress("https", name, receiver.port, path)
        return await caller.post(address, {"webhook-id": "evt_1"}, BODY)
    finally:
        caller.close()


async def failure(
    receiver: Receiver, resolve: Resolve = LOCAL, *, name: str = NAME, seconds: float = 3
) -> str:
    with pytest.raises(CallFailed) as failed:
        await call(receiver, resolve, name=name, seconds=seconds)
    return failed.value.kind


@pytest.mark.usefixtures("on_loopback")
async def test_it_says_who_is_meant_and_sends_all_of_the_body() -> None:
    async with receiving() as receiver:
        receiver.respond = answering(200, b"thanks")
        assert await call(receiver) == Answer(200, b"thanks", None)
        (received,) = receiver.received
        assert received.head == "POST /x?y=1 HTTP/1.1"
        assert received.headers["host"] == f"{NAME}:{receiver.port}"
        assert received.headers["webhook-id"] == "evt_1"
        assert received.body == BODY


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["8.8.8.8", "127.0.0.1"],
    ],
)
async def test_a_name_of_which_one_address_is_private_is_not_called_at_all(addresses: Sequence[str]) -> None:
    async with receiving() as receiver:
        assert await failure(receiver, resolving(addresses)) == "address-refused"
        assert receiver.connections == 0


async def test_a_second_answer_of_the_resolver_is_never_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: good when it is checked, bad when it is connected to."""
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["192.0.2.1"] if len(asked) == 1 else ["127.0.0.1"]

    monkeypatch.setattr("integration.webhooks.calling.is_public", lambda address: address == "192.0.2.1")
    connected: list[str] = []

    async def connect(host: str, port: int, **options: object) -> None:
        connected.append(host)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", connect)
    assert await failure(Receiver(port=443), resolve) == "connection-refused"
    assert (asked, connected) == ([NAME], ["192.0.2.1"])


async def test_the_name_is_not_resolved_again_by_whoever_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the resolver of this test said is taken as an address and nothing else."""
    monkeypatch.setattr("integration.webhooks.calling.is_public", lambda address: True)
    async with receiving() as receiver:
        assert await failure(receiver, resolving(["localhost"])) == "connection-refused"
        assert receiver.connections == 0


@pytest.mark.usefixtures("on_loopback")
async def test_the_certificate_must_be_of_the_name_and_of_somebody_trusted() -> None:
    async with receiving(name=OTHER_NAME) as receiver:
        assert await failure(receiver) == "certificate"
        assert (await call(receiver, name=OTHER_NAME)).status == 200
        caller = Caller(resolve=LOCAL, trust=ssl.create_default_context(), total_seconds=3)
        with pytest.raises(CallFailed, match="certificate"):
            await caller.post(WebAddress("https", OTHER_NAME, receiver.port, "/"), {}, BODY)
        caller.close()
        assert len(receiver.received) == 1


@pytest.mark.usefixtures("on_loopback")
async def test_who_speaks_no_tls_gets_nothing() -> None:
    async with receiving(secure=False) as receiver:
        assert await failure(receiver, seconds=0.5) in ("tls", "timeout")
        assert receiver.received == []


async def test_plain_http_is_not_spoken_to_a_name_and_this_machine_only_where_allowed() -> None:
    async with receiving(secure=False) as receiver:
        strict = Caller(resolve=LOCAL)
        loose = Caller(resolve=LOCAL, loopback_allowed=True)
        with pytest.raises(CallFailed, match="address-refused"):
            await strict.post(WebAddress("http", "localhost", receiver.port, "/"), {}, BODY)
        with pytest.raises(CallFailed, match="address-refused"):
            await loose.post(WebAddress("http", NAME, receiver.port, "/"), {}, BODY)
        with pytest.raises(CallFailed, match="address-refused"):
            await loose.post(WebAddress("https", NAME, receiver.port, "/"), {}, BODY)
        assert receiver.connections == 0
        answer = await loose.post(WebAddress("http", "localhost", receiver.port, "/"), {}, BODY)
        assert answer.status == 200
        elsewhere = Caller(resolve=resolving(["10.0.0.1"]), loopback_allowed=True)
        with pytest.raises(CallFailed, match="address-refused"):
            await elsewhere.post(WebAddress("http", "localhost", receiver.port, "/"), {}, BODY)


@pytest.mark.usefixtures("on_loopback")
async def test_a_redirect_is_an_answer_and_nobody_follows_it() -> None:
    async with receiving() as receiver, receiving(secure=False) as inside:
        receiver.respond = answering(302, Location=f"http://127.0.0.1:{inside.port}/secrets")
        assert (await call(receiver)).status == 302
        assert inside.connections == 0


@pytest.mark.usefixtures("on_loopback")
@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\xff garbage\r\n\r\n",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n",
        b"",
    ],
)
async def test_garbage_is_a_bad_answer(raw: bytes) -> None:
    async with receiving() as receiver:
        receiver.respond = saying(raw)
        assert await failure(receiver) == "bad-answer"


@pytest.mark.usefixtures("on_loopback")
async def test_interim_answers_without_end_are_too_long() -> None:
    async with receiving() as receiver:
        receiver.respond = saying(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3_000, then_wait=True)
        assert await failure(receiver) == "answer-too-long"


@pytest.mark.usefixtures("on_loopback")
@pytest.mark.parametrize(
    "raw",
    [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["silent", "slow", "interim"],
)
async def test_who_does_not_come_to_an_answer_in_time_has_none(raw: bytes) -> None:
    async with receiving() as receiver:
        receiver.respond = saying(raw, then_wait=True)
        assert await failure(receiver, seconds=0.5) == "timeout"


@pytest.mark.usefixtures("on_loopback")
async def test_an_endless_body_is_read_a_little_and_the_status_counts() -> None:
    async with receiving() as receiver:
        receiver.respond = saying(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 4_096, again=0.0)
        answer = await call(receiver)
        assert (answer.status, answer.snippet) == (200, b"a" * 1_024)


@pytest.mark.usefixtures("on_loopback")
@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz",
    ],
)
async def test_a_body_that_breaks_off_or_never_comes_changes_nothing(
    raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration.webhooks.calling._BODY_SECONDS", 0.2)
    async with receiving() as receiver:
        for wait in (False, True):
            receiver.respond = saying(raw, then_wait=wait)
            answer = await call(receiver)
            assert (answer.status, answer.snippet) == (200, b"abc")


@pytest.mark.usefixtures("on_loopback")
async def test_the_next_address_is_tried_when_one_takes_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("integration.webhooks.calling.is_public", lambda address: True)
    async with receiving() as receiver:
        assert (await call(receiver, resolving(["127.0.0.2", "127.0.0.1"]))).status == 200


async def test_a_resolver_that_fails_or_hangs_is_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integration.webhooks.calling._RESOLVE_SECONDS", 0.1)

    async def fails(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    async def hangs(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    for resolve in (fails, hangs, resolving([])):
        assert await failure(Receiver(port=443), resolve) == "name-unknown"


async def test_the_system_knows_this_machine() -> None:
    caller = Caller(loopback_allowed=True)
    async with receiving(secure=False) as receiver:
        assert (
            await caller.post(WebAddress("http", "127.0.0.1", receiver.port, "/"), {}, BODY)
        ).status == 200
    caller.close()
