"""Verifying on from what was signed: what it reads, what it sees, and what it does not."""

import random
from uuid import UUID

import psycopg
import pytest

from tests.audit.history import History
from tests.audit.restoring import copy, put_back
from tests.audit.tampers import Event, cut_at
from tests.store.tampering import kinds, rehash, tampering
from write_model.store import chain_blocks
from write_model.store.chain import Verification, verify

_HERE = "WHERE partition = 2 AND position = %s"
_COMPANY = f"SELECT company_id, position FROM ccontrol.events {_HERE}"
_CHANGE = f"UPDATE ccontrol.events SET channel = 'x' {_HERE}"


@pytest.fixture(scope="module")
def history(recorded: History) -> History:
    """Signed when there were 28 events, and not since."""
    copy(recorded)
    with tampering(recorded.url) as connection:
        for schema in ("ccontrol", "untouched"):
            connection.execute(
                f"DELETE FROM {schema}.checkpoints c WHERE length = "
                "(SELECT max(length) FROM untouched.chain_heads h WHERE h.company_id = c.company_id)"
            )
    return recorded


@pytest.fixture(autouse=True, params=[2, 1024])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_blocks, "ROWS", request.param)


def since_last(history: History, *, company: UUID | None = None, kept: bool = False) -> Verification:
    return verify(history.url, company=company, kept=history.kept if kept else (), since_last=True)


def test_only_what_came_after_is_read(history: History) -> None:
    verification = since_last(history)
    assert verification.intact
    assert verification.events + verification.skipped == 48
    assert 0 < verification.events < 48
    assert verification.heads == verify(history.url).heads
    one = since_last(history, company=history.companies[1])
    assert one.intact
    assert 0 < one.events < 12


def test_nothing_is_read_when_the_last_head_is_kept(history: History) -> None:
    verification = since_last(history, kept=True)
    assert (verification.intact, verification.events, verification.skipped) == (True, 0, 48)


def test_what_was_altered_since_is_found(history: History) -> None:
    with psycopg.connect(history.url) as connection:
        ((last,),) = connection.execute(
            "SELECT max(position) FROM ccontrol.events WHERE partition = 2"
        ).fetchall()
    for change, kind in (
        (_CHANGE, "event-altered"),
        (
            f"UPDATE ccontrol.events SET version = version + 1 {_HERE}",
            "version-gap",
        ),
        (f"DELETE FROM ccontrol.events {_HERE} - 1", "position-gap"),
        (f"DELETE FROM ccontrol.events {_HERE}", "partition-head-wrong"),
        (
            f"UPDATE ccontrol.events SET position = position + 5 {_HERE}",
            "position-gap",
        ),
    ):
        with put_back(history):
            with tampering(history.url) as connection:
                connection.execute(change, (last,))
            assert kind in kinds(since_last(history).violations), change


def test_a_tail_cut_with_its_heads_is_found(history: History) -> None:
    chance = random.Random(5)
    for _ in range(4):
        with put_back(history):
            with tampering(history.url) as connection:
                cut_at(connection, Event(2, chance.randrange(2, 20), history.companies[0]))
            assert "checkpoint-ahead" in kinds(since_last(history).violations)


def test_a_rewritten_chain_is_found(history: History) -> None:
    """Also when it was rewritten from before what was signed: the signed event has another hash then."""
    for position in (1, 30):
        with put_back(history):
            with tampering(history.url) as connection:
                ((company_id, at),) = connection.execute(
                    f"SELECT company_id, position FROM ccontrol.events {_HERE}",
                    (position,),
                ).fetchall()
                connection.execute(
                    f"UPDATE ccontrol.events SET channel = 'x' {_HERE}",
                    (position,),
                )
                rehash(connection, company_id, after=at - 1)
            found = kinds(since_last(history, kept=True).violations)
            assert {"checkpoint-wrong", "head-differs"} & set(found)


def test_an_alteration_before_what_was_signed_is_not_seen(history: History) -> None:
    """As is said; reading all of it finds it."""
    with put_back(history):
        with tampering(history.url) as connection:
            connection.execute(
                "UPDATE ccontrol.events SET channel = 'x' WHERE partition = 2 AND position = 2"
            )
        assert since_last(history).intact
        assert kinds(verify(history.url).violations) == ["event-altered"]


def test_a_company_that_was_never_signed_is_read_whole(history: History) -> None:
    with put_back(history):
        with tampering(history.url) as connection:
            connection.execute(
                "DELETE FROM ccontrol.checkpoints WHERE company_id = %s", (history.companies[2],)
            )
        verification = since_last(history)
        assert verification.intact
        assert verification.events + verification.skipped == 48
