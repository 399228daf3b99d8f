"""The views for people with SQL say what the events say."""

from uuid import uuid4

import psycopg
import pytest

from tests.store.submissions import DAY, appended, entry, submission
from write_model.store.connections import AUDITOR, conninfo
from write_model.store.store import Store

pytestmark = pytest.mark.asyncio


async def test_every_line_of_an_entry_is_a_posting(store: Store, database_url: str) -> None:
    company_id, posted = uuid4(), entry(1050, 1050)
    one = submission(company_id, None, 0, posted)
    (record,) = await appended(store, one)
    with psycopg.connect(conninfo(database_url, AUDITOR)) as connection:
        rows = connection.execute("SELECT * FROM audit.postings ORDER BY side DESC").fetchall()
    event_id = one.commands[0].events[0].event_id
    shared = (company_id, record.partition, record.first_position, event_id, posted.entry_id, DAY)
    assert rows == [
        (*shared, "1.1", "Caixa", "D", 1050, "BRL"),
        (*shared, "3.1", "Receita", "C", 1050, "BRL"),
    ]


async def test_the_data_of_an_event_is_json_to_ask_questions_of(store: Store, database_url: str) -> None:
    posted = entry()
    await appended(store, submission(uuid4(), None, 0, posted))
    with psycopg.connect(conninfo(database_url, AUDITOR)) as connection:
        found = connection.execute("SELECT data ->> 'memo', topic FROM audit.events").fetchall()
    assert found == [(posted.memo, "ledger.journal_entry_posted")]
