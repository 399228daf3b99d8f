"""Reports over HTTP: every answer has its shape, every filter works or is refused, every figure explains."""

from decimal import Decimal
from typing import Any

import httpx2
import pytest

from projections.connections import connect
from tests.decisions.sales_setting import BANK, CUSTOMER, GOODS
from tests.doors.world import assert_problem
from tests.reports.books import Books
from tests.reports.doors import Doors
from tests.reports.shop import (
    FIRST,
    SECOND,
    busy_shop,
    instalment_of,
    receivable_of,
    settlement_of,
)
from write_model.processes.books import entry_id_for
from write_model.values.identifiers import encode

SALE = encode("sal", FIRST)
PARTY = encode("pty", CUSTOMER)
PRODUCT = encode("prd", GOODS)
ACCOUNT = encode("bnk", BANK)
TITLE = encode("rcv", receivable_of(FIRST))
INSTALMENT = encode("ins", instalment_of(FIRST, 1))
SETTLEMENT = encode("set", settlement_of(FIRST, 1))
ENTRY = encode("led", entry_id_for(FIRST, "sale_confirmed"))

EVERY_DOOR = (
    "/v1/products",
    f"/v1/products/{PRODUCT}",
    f"/v1/products/{PRODUCT}/history",
    "/v1/parties",
    f"/v1/parties/{PARTY}",
    f"/v1/parties/{PARTY}/history",
    "/v1/sales",
    f"/v1/sales/{SALE}",
    f"/v1/sales/{SALE}/history",
    "/v1/stock/levels",
    "/v1/receivables",
    f"/v1/receivables/{TITLE}",
    f"/v1/receivables/{TITLE}/history",
    "/v1/instalments",
    f"/v1/instalments/{INSTALMENT}",
    f"/v1/instalments/{INSTALMENT}/history",
    "/v1/settlements",
    f"/v1/settlements/{SETTLEMENT}",
    f"/v1/settlements/{SETTLEMENT}/history",
    "/v1/bank-accounts",
    f"/v1/bank-accounts/{ACCOUNT}",
    f"/v1/bank-accounts/{ACCOUNT}/statement",
    f"/v1/bank-accounts/{ACCOUNT}/history",
    "/v1/ledger/lines",
    "/v1/ledger/entries",
    f"/v1/ledger/entries/{ENTRY}",
    "/v1/ledger/accounts",
    "/v1/ledger/trial-balance",
    "/v1/periods",
    "/v1/reports/income-statement",
    "/v1/reports/ageing",
    "/v1/dashboard",
    "/v1/audit/events",
)


@pytest.fixture
def doors(books: Books) -> Doors:
    company = busy_shop()
    books.fold(company)
    return Doors(books, company.id)


def test_every_door_answers_in_its_shape(doors: Doors) -> None:
    for path in EVERY_DOOR:
        answer = doors.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert answer.headers["projection-position"]
        assert answer.headers["consistency-token"]


def test_an_auditor_reads_everything_and_a_clerk_does_not(doors: Doors) -> None:
    for path in EVERY_DOOR:
        assert doors.get(path, role="auditor").status_code == 200, path
    for path in ("/v1/ledger/lines", "/v1/reports/ageing", "/v1/audit/events"):
        assert doors.get(path, role="clerk").status_code == 403


def test_lists_are_the_same_page_by_page_as_at_once(doors: Doors) -> None:
    paged = [path for path in EVERY_DOOR if "page" in doors.json(path)]
    assert len(paged) == 21
    for path in paged:
        whole = doors.json(f"{path}?limit=200")
        assert doors.rows(path) == whole["data"], path


def test_ids_have_prefixes_and_money_is_text(doors: Doors) -> None:
    found = doors.json(f"/v1/sales/{SALE}")
    assert found["id"] == SALE
    assert found["customer_id"] == PARTY
    assert found["total"] == {"amount": "20.00", "currency": "BRL"}
    assert found["lines"][0]["quantity"] == "2"
    assert found["lines"][0]["product_id"] == PRODUCT
    line = doors.json(f"/v1/ledger/lines?entry_id={ENTRY}")["data"][0]
    assert line["document"] == {"kind": "sale", "id": SALE}
    assert line["actor"]["id"].startswith("usr_")
    assert line["recorded_at"].endswith("Z")


def test_a_detail_carries_the_version_to_change_it_by(doors: Doors) -> None:
    answer = doors.get(f"/v1/sales/{SALE}")
    assert answer.headers["etag"] == '"2"'
    assert answer.json()["version"] == 2


def test_a_sale_is_found_by_the_number_people_say(doors: Doors) -> None:
    answer = doors.get("/v1/sales/VD-1")
    assert (answer.status_code, answer.headers["location"]) == (308, f"/v1/sales/{SALE}")
    for unknown in ("VD-999", "VD-0", "VD-01", "vd-1", "sal_x", PARTY):
        assert doors.get(f"/v1/sales/{unknown}").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v1/sales?colour=red",
        "/v1/sales?status=lost",
        "/v1/sales?customer_id=sal_1",
        "/v1/sales?confirmed_on[gte]=yesterday",
        "/v1/sales?number=0",
        "/v1/sales?as_of=2026-10-31",
        "/v1/instalments?status[in]=open,lost",
        "/v1/instalments?cursor=nonsense",
        "/v1/instalments?limit=0",
        "/v1/ledger/lines?known_as_of=once",
        "/v1/ledger/lines?known_as_of=2026-11-31T00:00:00Z",
        "/v1/ledger/lines?account=3.1';--",
        "/v1/ledger/lines?document_id=pty_1",
        "/v1/ledger/trial-balance?as_of=2026-10-31&effective_to=2026-10-31",
        "/v1/reports/income-statement?layout=none",
        "/v1/reports/income-statement?from=2026-12&to=2026-11",
        "/v1/audit/events?from=2026-11-01",
        "/v1/audit/events?actor=nobody",
        "/v1/products?q=%00",
    ],
)
def test_what_cannot_be_asked_is_refused(doors: Doors, path: str) -> None:
    answer = doors.get(path)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/v1/sales?status=confirmed&confirmed_on[gte]=2026-11-01&confirmed_on[lt]=2026-12-01", 1),
        ("/v1/sales?confirmed_on=2026-11-10", 2),
        ("/v1/sales?number=1", 1),
        (f"/v1/sales?customer_id={PARTY}", 4),
        ("/v1/instalments?status[in]=open,overdue", 2),
        ("/v1/instalments?status=overdue&due_date[lte]=2026-11-20", 1),
        (f"/v1/receivables?document_id={SALE}", 1),
        (f"/v1/settlements?bank_account_id={ACCOUNT}&paid_on[gt]=2026-10-20", 1),
        (f"/v1/stock/levels?product_id={PRODUCT}", 1),
        ("/v1/products?q=caneta", 1),
        ("/v1/parties?role=customer&status=active", 1),
        ("/v1/ledger/accounts?kind=cost&leaf=true", 2),
        (f"/v1/ledger/lines?document_id={SALE}", 4),
        (f"/v1/ledger/entries?document_id={ACCOUNT}", 1),
        (f"/v1/ledger/lines?account=1.1&entry_id={ENTRY}", 2),
        ("/v1/ledger/lines?account[in]=3,4&as_of=2026-10-31", 0),
        (f"/v1/bank-accounts/{ACCOUNT}/statement?effective_to=2026-10-31", 2),
    ],
)
def test_filters_narrow_a_list(doors: Doors, path: str, count: int) -> None:
    assert len(doors.json(path)["data"]) == count


def test_answers_from_redis_are_those_from_sql(books: Books) -> None:
    company = busy_shop()
    books.fold(company)
    from_sql, from_redis = Doors(books, company.id), Doors(books, company.id, views=books.views())
    for path in ("/v1/dashboard", "/v1/bank-accounts"):
        assert from_redis.json(path) == from_sql.json(path)


def test_an_answer_from_redis_names_the_position_its_figures_are_at(books: Books) -> None:
    """The lanes fold by themselves, so a view may be ahead of the tables, while somebody writes and asks."""
    company = busy_shop()
    log = books.new(company)
    from_sql, from_redis = Doors(books, company.id), Doors(books, company.id, views=books.views())
    paths = ("/v1/dashboard", "/v1/bank-accounts")
    shown: dict[tuple[str, int], httpx2.Response] = {}
    truth: dict[tuple[str, int], httpx2.Response] = {}

    async def write() -> None:
        for event in log:
            await books.apply_in("redis", [event])
            for path in paths:
                shown[path, event.position] = await from_redis.asked(path)
            await books.apply_in("sql", [event])
            for path in paths:
                truth[path, event.position] = await from_sql.asked(path)

    books.run(write())
    books.head += len(log)
    for place, answer in shown.items():
        assert answer.json() == truth[place].json(), place
        assert answer.json()["as_of"]["position"] == place[1]
        assert answer.headers["projection-position"].endswith(f"={place[1]}")
        assert answer.headers["consistency-token"] == truth[place].headers["consistency-token"]


def test_a_view_that_knows_of_what_was_never_recorded_is_not_asked(books: Books) -> None:
    """A token of it would be refused everywhere from then on."""
    company = busy_shop()
    log = books.new(company)
    from_redis = Doors(books, company.id, views=books.views())
    books.run(books.apply_in("sql", log[:-1]))
    books.run(books.apply_in("redis", log))
    before, last = log[-2].position, log[-1].position
    for path in ("/v1/dashboard", "/v1/bank-accounts"):
        for end, shown in ((last, last), (before, before)):
            from_redis.store.end = end
            answer = from_redis.get(path)
            assert answer.status_code == 200
            assert answer.json()["as_of"]["position"] == shown
            assert answer.headers["projection-position"].endswith(f"={shown}")
    books.run(books.apply_in("sql", log[-1:]))
    books.head += len(log)


def test_what_was_remembered_and_is_not_so_any_more_is_not_believed(books: Books) -> None:
    """As after a rollback of which the notification was lost."""
    company = busy_shop()
    books.fold(company)
    doors = Doors(books, company.id)
    wanted = f"/v1/products?min_position={books.head}"
    assert doors.get(wanted).headers["consistency"] == "fresh"

    def move(by: int) -> None:
        async def moved() -> None:
            async with await connect(books.database_url) as connection:
                await connection.execute(
                    "UPDATE read.checkpoints SET position = position + %s WHERE position > 0 "
                    "AND projection = 'catalog_products'",
                    (by,),
                )

        books.run(moved())

    move(-1)
    try:
        body = assert_problem(doors.get(wanted, Prefer="wait=0"), 503, "projection-behind")
        assert (body["wanted"], body["have"]) == (books.head, books.head - 1)
    finally:
        move(1)
    assert doors.get(wanted).headers["consistency"] == "fresh"


def test_a_cursor_belongs_to_its_filters(doors: Doors) -> None:
    cursor = doors.json("/v1/sales?limit=1")["page"]["next_cursor"]
    assert doors.get(f"/v1/sales?limit=1&cursor={cursor}").status_code == 200
    assert doors.get(f"/v1/sales?limit=1&status=draft&cursor={cursor}").status_code == 400
    assert doors.get(f"/v1/parties?limit=1&cursor={cursor}").status_code == 400


def test_what_does_not_exist_is_not_found(doors: Doors) -> None:
    nothing = "01JDCE8Z0M9T3VX4K7QAWB2R5N"
    for path in ("sales/sal", "products/prd", "parties/pty", "receivables/rcv", "settlements/set"):
        assert doors.get(f"/v1/{path}_{nothing}").status_code == 404
    assert doors.get(f"/v1/products/{PARTY}").status_code == 404
    for path in EVERY_DOOR:
        if path.endswith(("/history", "/statement")):
            start, _, last = path.rpartition("/")
            assert doors.get(f"{start[:-26]}{nothing}/{last}").status_code == 404, path


def net_of(doors: Doors, href: str) -> Decimal:
    """Debits minus credits of the lines a link leads to, added up line by line."""
    total = Decimal(0)
    for line in doors.rows(href):
        assert line["event_url"] == f"/v1/audit/events/{line['event_id']}"
        total += Decimal(line["amount"]["amount"]) * (1 if line["side"] == "D" else -1)
    sums = doors.json(href)["sums"]
    assert sum(Decimal(part["net"]["amount"]) for part in sums) == total
    return total


def test_every_balance_is_explained_by_lines_that_add_up_to_it(doors: Doors) -> None:
    found = doors.json("/v1/ledger/trial-balance?effective_from=2026-11-01&effective_to=2026-11-30")
    assert [total["in_balance"] for total in found["totals"]] == [True]
    for row in (row for row in found["rows"] if row["leaf"]):
        moved = Decimal(row["debits"]["amount"]) - Decimal(row["credits"]["amount"])
        assert net_of(doors, row["explain"]["movement"]) == moved
        assert net_of(doors, row["explain"]["opening"]) == Decimal(row["opening"]["amount"])
        assert net_of(doors, row["explain"]["closing"]) == Decimal(row["closing"]["amount"])


def test_every_figure_of_the_dre_is_explained_by_lines_that_add_up_to_it(doors: Doors) -> None:
    found = doors.json("/v1/reports/income-statement?from=2026-10&to=2026-11&columns=month")
    assert found["net_income"] == {"amount": "35.00", "currency": "BRL"}
    assert [column["label"] for column in found["columns"]][:2] == ["2026-10", "2026-11"]
    figures = [figure for line in found["lines"] for figure in line["figures"] if figure["explain"]]
    assert figures
    for figure in figures:
        assert -net_of(doors, figure["explain"]) == Decimal(figure["value"]["amount"])


def test_a_report_is_asked_for_in_the_language_of_the_reader(doors: Doors) -> None:
    path = "/v1/reports/income-statement"
    assert doors.get(path).json()["lines"][-1]["label"] == "Lucro ou prejuízo líquido do exercício"
    in_english = doors.get(path, **{"Accept-Language": "en"}).json()
    assert in_english["lines"][-1]["label"] == "Net income"


def test_both_axes_are_asked_for_by_day_by_instant_or_by_position(books: Books) -> None:
    company = busy_shop()
    books.fold(company)
    doors = Doors(books, company.id)

    def open_total(known: str) -> str:
        totals = doors.json(f"/v1/reports/ageing?on=2026-11-30&known_as_of={known}")["totals"]
        return str(totals[0]["total"]["amount"]) if totals else "0.00"

    assert open_total(str(books.head)) == "40.00"
    assert open_total(str(books.start)) == "0.00"
    assert open_total("2026-10-31") == "0.00"
    assert open_total("2026-12-31") == "40.00"
    assert open_total("2026-12-01T00:00:00-03:00") == "40.00"


def test_an_event_is_shown_with_all_it_names(doors: Doors) -> None:
    events = doors.json("/v1/audit/events?type=sales.sale_confirmed")["data"]
    found = doors.json(events[0]["url"])
    named = {item["field"]: item["id"] for item in found["subjects"]}
    assert (named["sale_id"], named["customer_id"], named["receivable_id"]) == (SALE, PARTY, TITLE)
    assert found["sentence"] == "Venda confirmada em 20/10/2026"
    by_command = doors.json(f"/v1/audit/events?command_id={found['command_id']}")["data"]
    assert found["id"] in [event["id"] for event in by_command]


def test_another_company_sees_nothing_of_this_one(books: Books) -> None:
    company, stranger = busy_shop(), busy_shop()
    books.fold(company)
    doors = Doors(books, stranger.id)
    answers: list[Any] = [
        doors.json(path)["data"] for path in ("/v1/sales", "/v1/ledger/lines", "/v1/parties")
    ]
    assert answers == [[], [], []]
    assert doors.get(f"/v1/sales/{encode('sal', SECOND)}").status_code == 404
