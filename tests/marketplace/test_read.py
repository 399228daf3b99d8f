"""Whatever shape the files are in, the good rows come in and the bad ones are named."""

from datetime import date

import pytest

from runtime.marketplace.read import read
from runtime.marketplace.rows import Unreadable
from tests.marketplace.exports import (
    CUSTOMERS,
    HEADERS,
    ITEMS,
    ORDERS,
    PAYMENTS,
    PRODUCTS,
    ExportFolder,
)


def refused(export: ExportFolder) -> list[tuple[str, int, str]]:
    """What is refused of it."""
    return [(row.file, row.line, row.reason) for row in read(export.write()).refused]


def test_a_good_export_is_read_whole(export: ExportFolder) -> None:
    found = read(export.write())
    assert found.refused == []
    order = found.orders["o1"]
    assert (order.status, order.confirmed_on) == ("delivered", date(2017, 10, 3))
    assert [(item.price, item.freight) for item in order.items] == [(10000, 1000)]
    assert [(row.method, row.instalments, row.value) for row in order.payments] == [("boleto", 1, 11000)]
    assert found.customers["c1"].city == "sao paulo"
    assert found.products["p1"].category == "beleza_saude"


def test_the_last_day_is_that_of_any_date_of_an_order(export: ExportFolder) -> None:
    assert read(export.write()).last_day == date(2017, 10, 18)


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("2017-10-02 10:56:33", date(2017, 10, 2)),
        ("2017-10-02", date(2017, 10, 2)),
        ("2017-10-02T23:59:59", date(2017, 10, 2)),
        ("10/2/2017 10:56", date(2017, 10, 2)),
        ("12/31/2017 23:59", date(2017, 12, 31)),
    ],
)
def test_dates_are_read_in_both_forms_as_they_are_written(
    export: ExportFolder, written: str, read_as: date
) -> None:
    export.order("o2", purchased=written, approved="")
    assert read(export.write()).orders["o2"].confirmed_on == read_as


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_mark_and_line_ends_do_not_matter(
    export: ExportFolder, encoding: str, newline: str
) -> None:
    export.customer("c2", city="são luís")
    found = read(export.write(encoding=encoding, newline=newline))
    assert found.refused == []
    assert found.customers["c2"].city == "são luís"
    assert found.customers["c2"].state == "SP"


def test_headers_are_known_in_any_case_order_and_spelling(export: ExportFolder) -> None:
    export.headers[PRODUCTS] = '"Product_ID", PRODUCT_CATEGORY_NAMEPT ,product_name_length,x'
    export.headers[PAYMENTS] = "payment_value,payment_type,order_id,payment_installments,payment_sequential"
    export.lines[PAYMENTS] = ["110.0,boleto,o1,1,1"]
    found = read(export.write())
    assert found.refused == []
    assert found.products["p1"].category == "beleza_saude"
    assert found.orders["o1"].payments[0].value == 11000


@pytest.mark.parametrize("file", HEADERS)
def test_a_missing_file_is_named(export: ExportFolder, file: str) -> None:
    export.write(only=[name for name in HEADERS if name != file])
    with pytest.raises(Unreadable, match=file):
        read(export.directory)


@pytest.mark.parametrize(
    ("file", "column"),
    [
        (CUSTOMERS, "customer_city"),
        (PRODUCTS, "product_id"),
        (ORDERS, "order_approved_at"),
        (ITEMS, "freight_value"),
        (PAYMENTS, "payment_installments"),
    ],
)
def test_a_missing_column_is_named(export: ExportFolder, file: str, column: str) -> None:
    export.headers[file] = export.headers[file].replace(column, "something_else")
    with pytest.raises(Unreadable, match=f"{file}.*{column}"):
        read(export.write())


def test_an_empty_file_lacks_its_columns(export: ExportFolder) -> None:
    export.write()
    (export.directory / ITEMS).write_text("")
    with pytest.raises(Unreadable, match=ITEMS):
        read(export.directory)


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        ("abc", "price is not an amount: 'abc'"),
        ("", "price is not an amount: nothing"),
        ("1,50", "price is not an amount"),
        ("1.999", "price has more than two decimals: 1.999"),
        ("-5.00", "price is negative: -5.00"),
        ("1e3", "price is not an amount"),
        ("NaN", "price is not an amount"),
        ("99999999999999", "price is too large"),
    ],
)
def test_an_order_with_a_bad_amount_is_refused_whole(export: ExportFolder, price: str, reason: str) -> None:
    export.order("o2")
    export.item("o2", 1)
    export.item("o2", 2, price=f'"{price}"')
    export.payment("o2", "110.00")
    found = read(export.write())
    assert set(found.orders) == {"o1"}
    item, order = found.refused
    assert (item.file, item.line) == (ITEMS, 4)
    assert item.reason.startswith(reason)
    assert (order.file, order.line, order.reason) == (
        ORDERS,
        3,
        f"refused whole: {ITEMS} line 4 was refused",
    )


@pytest.mark.parametrize(
    ("text", "value"), [("99", 9900), ("109.9", 10990), ("25.510", 2551), ("0", 0), ("-0", 0)]
)
def test_amounts_as_spreadsheets_write_them(export: ExportFolder, text: str, value: int) -> None:
    export.lines[ITEMS] = []
    export.item("o1", price=text)
    assert read(export.write()).orders["o1"].items[0].price == value


@pytest.mark.parametrize(
    ("payment", "reason"),
    [
        ({"value": "-1.00"}, "payment_value is negative: -1.00"),
        ({"method": "barter"}, "unknown payment_type: 'barter'"),
        ({"method": "not_defined", "value": "1.00"}, "unknown payment_type: 'not_defined'"),
        ({"instalments": "-1"}, "payment_installments is negative: '-1'"),
        ({"instalments": "two"}, "payment_installments is not a whole number: 'two'"),
        ({"number": ""}, "payment_sequential is not a whole number: nothing"),
    ],
)
def test_an_order_with_a_bad_payment_is_refused_whole(
    export: ExportFolder, payment: dict[str, str], reason: str
) -> None:
    export.order("o2")
    export.payment("o2", **payment)
    found = read(export.write())
    assert set(found.orders) == {"o1"}
    assert [(row.file, row.line) for row in found.refused] == [(PAYMENTS, 3), (ORDERS, 3)]
    assert found.refused[0].reason == reason


def test_no_instalments_mean_one_and_nothing_paid_by_nothing_is_nothing(export: ExportFolder) -> None:
    export.payment("o1", "0", method="not_defined", instalments="0", number=2)
    found = read(export.write())
    assert found.refused == []
    assert [(row.method, row.instalments) for row in found.orders["o1"].payments] == [
        ("boleto", 1),
        ("not_defined", 1),
    ]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"status": "lost"}, "unknown order_status: 'lost'"),
        ({"customer_id": "c9"}, "customer_id is unknown"),
        ({"purchased": ""}, "order_purchase_timestamp is empty"),
        (
            {"purchased": "2017-13-02 10:00:00"},
            "order_purchase_timestamp is not a date: '2017-13-02 10:00:00'",
        ),
        ({"approved": "13/10/2017 10:00"}, "order_approved_at is not a date: '13/10/2017 10:00'"),
        ({"approved": "2017-10-02 25:00:00"}, "order_approved_at is not a date: '2017-10-02 25:00:00'"),
        ({"estimated": "soon"}, "order_estimated_delivery_date is not a date: 'soon'"),
    ],
)
def test_a_bad_order_is_refused_with_all_its_parts(
    export: ExportFolder, order: dict[str, str], reason: str
) -> None:
    export.order("o2", **order)
    export.item("o2")
    export.payment("o2")
    assert refused(export) == [(ORDERS, 3, reason)]


def test_parts_of_unknown_orders_are_refused_alone(export: ExportFolder) -> None:
    export.item("o9")
    export.payment("o9")
    assert refused(export) == [
        (ITEMS, 3, "order_id is unknown: 'o9'"),
        (PAYMENTS, 3, "order_id is unknown: 'o9'"),
    ]
    assert set(read(export.directory).orders) == {"o1"}


def test_an_item_of_an_unknown_product_takes_its_order_along(export: ExportFolder) -> None:
    export.order("o2")
    export.item("o2", product_id="p9")
    export.payment("o2")
    assert refused(export)[0] == (ITEMS, 3, "product_id is unknown")
    assert set(read(export.directory).orders) == {"o1"}


def test_what_is_refused_is_not_called_unknown(export: ExportFolder) -> None:
    export.lines[CUSTOMERS].append("c2,u2")
    export.order("o2", "c2")
    assert refused(export) == [
        (CUSTOMERS, 3, "too few columns: 2 of 5"),
        (ORDERS, 3, f"customer_id is that of a refused row of {CUSTOMERS}"),
    ]


def test_a_repeated_row_is_ignored(export: ExportFolder) -> None:
    for file in HEADERS:
        export.lines[file] *= 2
    found = read(export.write())
    assert found.refused == []
    assert len(found.orders["o1"].items) == len(found.orders["o1"].payments) == 1


def test_the_first_of_two_contradicting_rows_counts(export: ExportFolder) -> None:
    export.customer("c1", city="rio de janeiro")
    export.product("p1", category="brinquedos")
    export.order("o1", status="shipped")
    found = read(export.write())
    same = "an earlier row has the same id and different content"
    assert [(row.file, row.line, row.reason) for row in found.refused] == [
        (CUSTOMERS, 3, same),
        (PRODUCTS, 3, same),
        (ORDERS, 3, same),
    ]
    assert found.customers["c1"].city == "sao paulo"
    assert found.orders["o1"].status == "delivered"
    assert len(found.orders["o1"].items) == 1


def test_contradicting_items_leave_no_way_to_know_the_order(export: ExportFolder) -> None:
    export.item("o1", 1, price="1.00")
    found = read(export.write())
    assert found.orders == {}
    assert [(row.file, row.line) for row in found.refused] == [(ITEMS, 3), (ORDERS, 2)]


def test_a_stray_quote_spoils_its_line_only(export: ExportFolder) -> None:
    export.lines[CUSTOMERS].insert(0, '"c0,u0,1,osasco,SP')
    export.customer("c2")
    found = read(export.write())
    assert [(row.file, row.line, row.reason) for row in found.refused] == [
        (CUSTOMERS, 2, "the quotes do not match")
    ]
    assert set(found.customers) == {"c1", "c2"}


def test_rows_of_another_width_are_refused(export: ExportFolder) -> None:
    export.lines[PRODUCTS] += ["p2,brinquedos,40,1,what is this", "p3", "p4,brinquedos,40,1,", "  "]
    found = read(export.write())
    assert [(row.line, row.reason) for row in found.refused] == [
        (3, "too many columns: 5, not 4"),
        (4, "too few columns: 1 of 4"),
    ]
    assert set(found.products) == {"p1", "p4"}


def test_text_that_is_not_utf8_is_refused(export: ExportFolder) -> None:
    export.write()
    with (export.directory / CUSTOMERS).open("ab") as file:
        file.write("c2,u2,1,são paulo,SP\n".encode("latin-1"))
    found = read(export.directory)
    assert [(row.file, row.line, row.reason) for row in found.refused] == [(CUSTOMERS, 3, "not UTF-8")]


def test_ids_must_be_usable(export: ExportFolder) -> None:
    export.customer("")
    export.customer("c" * 61)
    export.customer("c\u202e2")
    assert [row[2] for row in refused(export)] == [
        "customer_id is empty",
        "customer_id is not usable: text-too-long",
        "customer_id is not usable: forbidden-character",
    ]


def test_customers_and_products_without_orders_come_in(export: ExportFolder) -> None:
    export.customer("c2")
    export.product("p2", category="")
    found = read(export.write())
    assert set(found.customers) == {"c1", "c2"}
    assert found.products["p2"].category is None
