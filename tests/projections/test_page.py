"""Pages: every row once, in order, whatever the page size; a cursor serves only its own question."""

import random
from typing import Any

import pytest
from sqlalchemy import select

from read_model.database import open_engine, reading
from read_model.page import BadCursor, Page, Paging, Sort
from tests.projections.bench import Bench
from tests.projections.sample import DEPOSITS, Deposited, Deposits, FakeLog, account, company

pytestmark = pytest.mark.asyncio

SORTS = [Sort("amount", DEPOSITS.c.amount, descending=True), Sort("event_id", DEPOSITS.c.event_id)]


async def test_walking_forth_and_back_meets_every_row_once(bench: Bench, log: FakeLog) -> None:
    dice = random.Random(3)
    await log.append(1, *[Deposited(account=account(n % 5), amount=dice.randrange(6)) for n in range(103)])
    async with bench.worker(log, [Deposits]):
        await bench.caught_up(log, "sample_deposits")
    engine = open_engine(bench.database_url, pool_size=1)

    async def ask(cursor: str | None, limit: int) -> Page[Any]:
        paging = Paging(SORTS, filters={"q": 1}, cursor=cursor, limit=limit)
        async with reading(engine, company(1)) as connection:
            return paging.page((await connection.execute(paging.narrow(select(DEPOSITS)))).all())

    async with reading(engine, company(1)) as connection:
        wanted = (
            await connection.execute(select(DEPOSITS).order_by(DEPOSITS.c.amount.desc(), DEPOSITS.c.event_id))
        ).all()
    for limit in (1, 7, 50, 103, 200):
        page = await ask(None, limit)
        assert page.prev_cursor is None
        rows, pages = [*page.rows], [page]
        while page.next_cursor:
            page = await ask(page.next_cursor, limit)
            rows += page.rows
            pages.append(page)
        assert rows == list(wanted)
        assert not page.has_more
        for before in reversed(pages[:-1]):
            assert page.prev_cursor is not None
            page = await ask(page.prev_cursor, limit)
            assert page.rows == before.rows
        assert page.prev_cursor is None
    await engine.dispose()


async def test_a_cursor_of_another_question_is_refused() -> None:
    class Row:
        amount = 5
        event_id = company(1)

    paging = Paging(SORTS, filters={"status": "open"}, limit=1)
    cursor = paging.page([Row(), Row()]).next_cursor
    assert cursor is not None
    Paging(SORTS, filters={"status": "open"}, cursor=cursor)
    with pytest.raises(BadCursor, match="another question"):
        Paging(SORTS, filters={"status": "closed"}, cursor=cursor)
    with pytest.raises(BadCursor, match="another question"):
        Paging(list(reversed(SORTS)), filters={"status": "open"}, cursor=cursor)
    for garbage in ("", "x", "äöü", cursor[:-3], cursor + "AA", "a" * 5000, cursor[::-1]):
        with pytest.raises(BadCursor):
            Paging(SORTS, filters={"status": "open"}, cursor=garbage)
