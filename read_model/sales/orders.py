"""The sales of a company, each with its lines and the payments agreed, and the number people call it by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, Index, Integer, Numeric, Row, Select, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.parties.directory import TABLE as PARTIES
from read_model.row import Amount, PartyId, ProductId, ReceivableId, SaleId, WarehouseId
from read_model.selection import ANY_DAY, Days, beyond, equal

TABLE = read_table(
    "sales_orders",
    Column("sale_id", Uuid, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("external_ref", Text),
    Column("status", Text, nullable=False),
    Column("drafted_on", Date, nullable=False),
    Column("confirmed_on", Date),
    Column("cancelled_on", Date),
    Column("warehouse_id", Uuid),
    Column("receivable_id", Uuid),
    Column("goods_minor", BigInteger, nullable=False),
    Column("freight_minor", BigInteger, nullable=False),
    Column("surcharges_minor", BigInteger, nullable=False),
    Column("discounts_minor", BigInteger, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("cost_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("line_count", Integer, nullable=False),
    Column("payment_count", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Index("sales_orders_number", "company_id", "number"),
    Index("sales_orders_status", "company_id", "status", "number"),
    Index("sales_orders_customer", "company_id", "customer_id", "number"),
    Index("sales_orders_external_ref", "company_id", "external_ref"),
    Index("sales_orders_confirmed", "company_id", "confirmed_on", "number"),
)
LINES = read_table(
    "sales_orders_lines",
    Column("sale_id", Uuid, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("product_id", Uuid),
    Column("description", Text),
    Column("quantity", Numeric(16, 4), nullable=False),
    Column("unit_price", Numeric(22, 10), nullable=False),
    Column("discount_minor", BigInteger, nullable=False),
    Column("net_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Index("sales_orders_lines_product", "company_id", "product_id"),
)
PAYMENTS = read_table(
    "sales_orders_payments",
    Column("sale_id", Uuid, primary_key=True),
    Column("payment", Integer, primary_key=True),
    Column("method", Text, nullable=False),
    Column("due_date", Date, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
)
NUMBERS = read_table("sales_orders_numbers", Column("last_number", BigInteger, nullable=False))
"""The last number given in each company."""

_ORDER = (TABLE.c.number,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleRow:
    """One sale. `status` is `draft`, `confirmed` or `cancelled`; `cost` is what its goods cost us."""

    id: SaleId
    number: int
    customer_id: PartyId
    customer_name: str | None
    external_ref: str | None
    status: str
    drafted_on: date
    confirmed_on: date | None
    cancelled_on: date | None
    total: Amount
    line_count: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleLineRow:
    """One line of a sale."""

    number: int
    kind: str
    product_id: ProductId | None
    description: str | None
    quantity: Decimal
    unit_price: Decimal
    discount: Amount
    net: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPaymentRow:
    """One payment the customer agreed to."""

    number: int
    method: str
    due_date: date
    amount: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleDetail:
    """One sale with everything in it: total = goods + freight + surcharges - discounts."""

    id: SaleId
    number: int
    customer_id: PartyId
    customer_name: str | None
    external_ref: str | None
    status: str
    drafted_on: date
    confirmed_on: date | None
    cancelled_on: date | None
    warehouse_id: WarehouseId | None
    receivable_id: ReceivableId | None
    goods: Amount
    freight: Amount
    surcharges: Amount
    discounts: Amount
    total: Amount
    cost: Amount
    lines: tuple[SaleLineRow, ...]
    payment_plan: tuple[PlannedPaymentRow, ...]
    version: int


async def sales(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    status: str | None = None,
    customer_id: UUID | None = None,
    external_ref: str | None = None,
    number: int | None = None,
    confirmed_on: Days = ANY_DAY,
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[SaleRow]:
    """The sales, the newest number first."""
    wanted = (
        (TABLE.c.company_id, company_id),
        (TABLE.c.status, status),
        (TABLE.c.customer_id, customer_id),
        (TABLE.c.external_ref, external_ref),
        (TABLE.c.number, number),
    )
    question = _with_customer().where(
        *equal(*wanted),
        *confirmed_on.within(TABLE.c.confirmed_on),
        *beyond(_ORDER, after, descending=True),
    )
    found = await connection.execute(question.order_by(TABLE.c.number.desc()).limit(limit))
    return [_row(row) for row in found]


async def sale(connection: AsyncConnection, company_id: UUID, sale_id: UUID) -> SaleDetail | None:
    """One sale with its lines and payments, or None."""
    question = _with_customer().where(TABLE.c.company_id == company_id, TABLE.c.sale_id == sale_id)
    row = (await connection.execute(question)).one_or_none()
    if row is None:
        return None
    lines = await connection.execute(
        select(LINES)
        .where(LINES.c.company_id == company_id, LINES.c.sale_id == sale_id)
        .order_by(LINES.c.line)
    )
    payments = await connection.execute(
        select(PAYMENTS)
        .where(PAYMENTS.c.company_id == company_id, PAYMENTS.c.sale_id == sale_id)
        .order_by(PAYMENTS.c.payment)
    )
    return _detail(row, tuple(map(_line, lines)), tuple(map(_payment, payments)))


async def sale_numbered(connection: AsyncConnection, company_id: UUID, number: int) -> UUID | None:
    """The id of the sale people call by this number."""
    question = select(TABLE.c.sale_id).where(TABLE.c.company_id == company_id, TABLE.c.number == number)
    found: UUID | None = (await connection.execute(question)).scalar_one_or_none()
    return found


def _with_customer() -> Select[Any]:
    customer = (PARTIES.c.company_id == TABLE.c.company_id) & (PARTIES.c.party_id == TABLE.c.customer_id)
    return select(TABLE, PARTIES.c.name.label("customer_name")).outerjoin(PARTIES, customer)


def _row(row: Row[Any]) -> SaleRow:
    return SaleRow(
        id=row.sale_id,
        number=row.number,
        customer_id=row.customer_id,
        customer_name=row.customer_name,
        external_ref=row.external_ref,
        status=row.status,
        drafted_on=row.drafted_on,
        confirmed_on=row.confirmed_on,
        cancelled_on=row.cancelled_on,
        total=Amount(row.total_minor, row.currency),
        line_count=row.line_count,
        version=row.version,
    )


def _detail(
    row: Row[Any], lines: tuple[SaleLineRow, ...], payments: tuple[PlannedPaymentRow, ...]
) -> SaleDetail:
    return SaleDetail(
        id=row.sale_id,
        number=row.number,
        customer_id=row.customer_id,
        customer_name=row.customer_name,
        external_ref=row.external_ref,
        status=row.status,
        drafted_on=row.drafted_on,
        confirmed_on=row.confirmed_on,
        cancelled_on=row.cancelled_on,
        warehouse_id=row.warehouse_id,
        receivable_id=row.receivable_id,
        goods=Amount(row.goods_minor, row.currency),
        freight=Amount(row.freight_minor, row.currency),
        surcharges=Amount(row.surcharges_minor, row.currency),
        discounts=Amount(row.discounts_minor, row.currency),
        total=Amount(row.total_minor, row.currency),
        cost=Amount(row.cost_minor, row.currency),
        lines=lines,
        payment_plan=payments,
        version=row.version,
    )


def _line(row: Row[Any]) -> SaleLineRow:
    return SaleLineRow(
        number=row.line,
        kind=row.kind,
        product_id=row.product_id,
        description=row.description,
        quantity=row.quantity,
        unit_price=row.unit_price,
        discount=Amount(row.discount_minor, row.currency),
        net=Amount(row.net_minor, row.currency),
    )


def _payment(row: Row[Any]) -> PlannedPaymentRow:
    return PlannedPaymentRow(
        number=row.payment,
        method=row.method,
        due_date=row.due_date,
        amount=Amount(row.amount_minor, row.currency),
    )
