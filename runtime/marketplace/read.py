"""Reads the five files of a marketplace export, from `olist_customers_dataset.csv` to the payments.

Nothing is thrown away in silence. A row that cannot be understood is refused with its file, line and reason;
an order with such an item or payment is refused whole, because half an order would be a wrong amount. What
does not belong to a refused row still comes in, customers and products without any order too.

Of two rows with the same id and different content the first counts and the second is refused; an exact
repetition is ignored. The files of sellers, reviews, places and translations are not needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from sys import intern
from typing import Any, TypeVar

from runtime.marketplace import cells
from runtime.marketplace.cells import BadCell
from runtime.marketplace.rows import Row, RowRefused, rows_of

CUSTOMERS = "olist_customers_dataset.csv"
PRODUCTS = "olist_products_dataset.csv"
ORDERS = "olist_orders_dataset.csv"
ITEMS = "olist_order_items_dataset.csv"
PAYMENTS = "olist_order_payments_dataset.csv"

STATUSES = frozenset(
    {"created", "approved", "processing", "invoiced", "shipped", "delivered", "canceled", "unavailable"}
)
METHODS = frozenset({"boleto", "credit_card", "debit_card", "voucher"})
NO_METHOD = "not_defined"

_DATES = (
    "order_purchase_timestamp",
    "order_approved_at",
    "order_delivered_carrier_date",
    "order_delivered_customer_date",
    "order_estimated_delivery_date",
)
# The id leads: of a row that ends too early it is often the part that is there.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    CUSTOMERS: ("customer_id", "customer_city", "customer_state"),
    PRODUCTS: ("product_id", "product_category_name"),
    ORDERS: ("order_id", "customer_id", "order_status", *_DATES),
    ITEMS: ("order_id", "order_item_id", "product_id", "price", "freight_value"),
    PAYMENTS: (
        "order_id",
        "payment_sequential",
        "payment_type",
        "payment_installments",
        "payment_value",
    ),
}


@dataclass(frozen=True, slots=True)
class Customer:
    """Whom an order is for. The files name nobody, and nobody is invented."""

    line: int
    customer_id: str
    city: str | None
    state: str | None


@dataclass(frozen=True, slots=True)
class Product:
    """What can be ordered."""

    line: int
    product_id: str
    category: str | None


@dataclass(frozen=True, slots=True)
class Item:
    """One unit of a product in an order; amounts in centavos."""

    number: int
    product_id: str
    price: int
    freight: int


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """One payment of an order, perhaps in instalments; `value` in centavos."""

    number: int
    method: str
    instalments: int
    value: int


@dataclass(slots=True)
class Order:
    """An order with its items and payments."""

    line: int
    order_id: str
    customer_id: str
    status: str
    purchased_on: date
    approved_on: date | None
    items: list[Item] = field(default_factory=list)
    payments: list[PaymentRow] = field(default_factory=list)

    @property
    def confirmed_on(self) -> date:
        """The day it counts from: of the approval, else of the purchase."""
        return self.approved_on or self.purchased_on


@dataclass(slots=True)
class Export:
    """What the files say, as far as they can be understood."""

    customers: dict[str, Customer] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    refused: list[RowRefused] = field(default_factory=list)
    last_day: date | None = None


def read(directory: Path) -> Export:
    """Everything the files say; raises Unreadable for the first missing file or column."""
    return _Reader(directory).read()


Key = str | tuple[str, int]
T = TypeVar("T")


class _Reader:
    """Reads file after file; later files refer to what earlier ones brought."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._export = Export()
        # Ids of rows that were refused: what refers to them is not told "unknown".
        self._refused_ids: dict[str, set[str]] = {}
        self._broken: dict[str, str] = {}

    def read(self) -> Export:
        """All five files, in the order in which they refer to each other."""
        # The headers first: a forgotten file should not be found after minutes.
        for file, columns in _COLUMNS.items():
            next(rows_of(self._directory, file, columns), None)
        export = self._export
        self._file(CUSTOMERS, _customer, export.customers.__setitem__)
        self._file(PRODUCTS, _product, export.products.__setitem__)
        self._file(ORDERS, self._order, export.orders.__setitem__)
        self._file(ITEMS, self._item, self._keep_item, on_refusal=self._break)
        self._file(PAYMENTS, self._payment, self._keep_payment, on_refusal=self._break)
        self._refuse_broken_orders()
        for order in export.orders.values():
            order.items.sort(key=lambda item: item.number)
            order.payments.sort(key=lambda payment: payment.number)
        return export

    def _file(
        self,
        file: str,
        parse: Callable[[Row], tuple[Any, T] | None],
        keep: Callable[[Any, T], None],
        on_refusal: Callable[[Row, RowRefused], None] | None = None,
    ) -> None:
        seen: dict[Key, int] = {}
        refused_ids = self._refused_ids[file] = set()
        for row in rows_of(self._directory, file, _COLUMNS[file]):
            try:
                if row.flaw is not None:
                    raise BadCell(row.flaw)
                parsed = parse(row)
                if parsed is None:
                    continue
                key, thing = parsed
                if key not in seen:
                    seen[key] = row.content
                    keep(key, thing)
                elif seen[key] != row.content:
                    raise BadCell("an earlier row has the same id and different content")
            except BadCell as flaw:
                refusal = RowRefused(file, row.line, str(flaw))
                self._export.refused.append(refusal)
                if row.values:
                    refused_ids.add(row.values[0])
                if on_refusal is not None:
                    on_refusal(row, refusal)

    def _order(self, row: Row) -> tuple[str, Order]:
        order_id, customer_id, status, *moments = row.values
        days = [cells.day(column, text) for column, text in zip(_DATES, moments, strict=True)]
        purchased_on = days[0]
        if purchased_on is None:
            raise BadCell(f"{_DATES[0]} is empty")
        order = Order(
            line=row.line,
            order_id=cells.identifier("order_id", order_id),
            customer_id=cells.identifier("customer_id", customer_id),
            status=intern(status.lower()),
            purchased_on=purchased_on,
            approved_on=days[1],
        )
        if order.status not in STATUSES:
            raise BadCell(f"unknown order_status: {cells.shown(status)}")
        if order.customer_id not in self._export.customers:
            raise BadCell(f"customer_id is {self._unknown(CUSTOMERS, customer_id)}")
        last = max(found for found in (*days, self._export.last_day) if found is not None)
        self._export.last_day = last
        return order.order_id, order

    def _item(self, row: Row) -> tuple[Key, Item] | None:
        order_id, number, product_id, price, freight = row.values
        order_id = cells.identifier("order_id", order_id)
        if not self._is_of_order(order_id):
            return None
        item = Item(
            number=cells.count("order_item_id", number),
            product_id=cells.identifier("product_id", product_id),
            price=cells.centavos("price", price),
            freight=cells.centavos("freight_value", freight),
        )
        if item.product_id not in self._export.products:
            raise BadCell(f"product_id is {self._unknown(PRODUCTS, product_id)}")
        return (order_id, item.number), item

    def _payment(self, row: Row) -> tuple[Key, PaymentRow] | None:
        order_id, number, method, instalments, value = row.values
        order_id = cells.identifier("order_id", order_id)
        if not self._is_of_order(order_id):
            return None
        payment = PaymentRow(
            number=cells.count("payment_sequential", number),
            method=intern(method.lower()),
            # The public set has rows with none; they are paid in one.
            instalments=max(cells.count("payment_installments", instalments), 1),
            value=cells.centavos("payment_value", value),
        )
        if payment.method not in METHODS and (payment.method != NO_METHOD or payment.value):
            raise BadCell(f"unknown payment_type: {cells.shown(method)}")
        return (order_id, payment.number), payment

    def _keep_item(self, key: tuple[str, int], item: Item) -> None:
        self._export.orders[key[0]].items.append(item)

    def _keep_payment(self, key: tuple[str, int], payment: PaymentRow) -> None:
        self._export.orders[key[0]].payments.append(payment)

    def _is_of_order(self, order_id: str) -> bool:
        """False for a part of an order that was refused: it went with it. Raises for one of no order."""
        if order_id in self._export.orders:
            return True
        if order_id in self._refused_ids[ORDERS]:
            return False
        raise BadCell(f"order_id is unknown: {cells.shown(order_id)}")

    def _unknown(self, file: str, key: str) -> str:
        return f"that of a refused row of {file}" if key in self._refused_ids[file] else "unknown"

    def _break(self, row: Row, refusal: RowRefused) -> None:
        """An order with a part missing is not imported; the first such part is named."""
        if row.values and row.values[0] in self._export.orders:
            self._broken.setdefault(row.values[0], f"{refusal.file} line {refusal.line} was refused")

    def _refuse_broken_orders(self) -> None:
        for order_id, why in self._broken.items():
            order = self._export.orders.pop(order_id)
            self._export.refused.append(RowRefused(ORDERS, order.line, f"refused whole: {why}"))


def _customer(row: Row) -> tuple[str, Customer]:
    customer_id, city, state = row.values
    customer = Customer(
        row.line,
        cells.identifier("customer_id", customer_id),
        cells.name("customer_city", city),
        cells.code("customer_state", state),
    )
    return customer.customer_id, customer


def _product(row: Row) -> tuple[str, Product]:
    product_id, category = row.values
    product = Product(
        row.line,
        cells.identifier("product_id", product_id),
        cells.name("product_category_name", category),
    )
    return product.product_id, product
