"""`ccontrol dlq`: the operator at the machine sees every letter, and decides."""

import asyncio
import json
import os
from pathlib import Path
from unittest import mock

import pytest

from integration.broker import Letter
from integration.dead_letters import bury
from projections.connections import connect
from runtime.cli.program import run
from tests.integration.happenings import happening


@pytest.fixture
def dead(delivery_url: str) -> str:
    """One of ours and one that is garbage; the id of ours."""
    event = happening()

    async def kill() -> None:
        async with await connect(delivery_url) as connection:
            await bury(connection, "webhooks", Letter(event.public_id, event.to_json()), "ValueError: no")
            await bury(connection, "webhooks", Letter("gar\x00bage", b"\x00\xff"), "not an event")

    asyncio.run(kill())
    return event.public_id


def test_letters_are_listed_shown_retried_and_discarded(
    delivery_url: str, dead: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def said(*arguments: str, code: int = 0) -> dict[str, object]:
        with mock.patch.dict(os.environ, {"DATABASE_URL": delivery_url, "CCONTROL_STATE": str(tmp_path)}):
            assert run(["dlq", *arguments, "-o", "json"]) == code
        data: dict[str, object] = json.loads(capsys.readouterr().out)["data"]
        return data

    listed = said("list", code=1)["letters"]
    assert isinstance(listed, list)
    assert {letter["message_id"] for letter in listed} == {dead, "garbage"}
    shown = said("show", "webhooks", dead)
    assert shown["error"] == "ValueError: no"
    assert isinstance(shown["message"], dict)
    assert shown["message"]["id"] == dead
    assert said("show", "webhooks", "garbage")["message"] == "\x00\\xff"
    assert said("list", "--queue", "other")["letters"] == []

    assert said("retry", "webhooks", dead)["state"] == "retrying"
    assert said("retry", "webhooks", dead)["state"] == "retrying"
    assert said("discard", "webhooks", "garbage", "--reason", "not ours")["reason"] == "not ours"
    said("retry", "webhooks", "garbage", code=5)
    said("show", "webhooks", "nobody", code=3)
    said("discard", "webhooks", dead, code=2)  # without a reason
    assert said("list")["letters"] != []  # one is on its way
    assert len(list(said("list", "--all")["letters"])) == 2  # type: ignore[call-overload]
