"""Stock levels: what is on hand in each warehouse, what it is worth, and what one unit cost on average."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, Index, Integer, Numeric, Row, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.catalog.products import TABLE as PRODUCTS
from read_model.database import read_table
from read_model.row import Amount, ProductId, WarehouseId
from read_model.selection import beyond, equal

TABLE = read_table(
    "stock_levels",
    Column("product_id", Uuid, primary_key=True),
    Column("warehouse_id", Uuid, primary_key=True),
    Column("on_hand", Numeric(16, 4), nullable=False),
    Column("value_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("moved_on", Date, nullable=False),
    Column("version", Integer, nullable=False),
    Index("stock_levels_warehouse", "company_id", "warehouse_id", "product_id"),
)
_ORDER = (TABLE.c.product_id, TABLE.c.warehouse_id)
# 16 digits of value over 16 of quantity, ten decimals kept: no digit is lost before the one rounding.
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
_COST_STEP = Decimal("1E-10")
_MINOR_PER_UNIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class StockLevelRow:
    """One product in one warehouse. `moved_on` is the day of the last movement recorded."""

    product_id: ProductId
    warehouse_id: WarehouseId
    sku: str | None
    name: str | None
    unit: str | None
    on_hand: Decimal
    value: Amount
    average_cost: Decimal | None
    moved_on: date


async def stock_levels(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    product_id: UUID | None = None,
    warehouse_id: UUID | None = None,
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[StockLevelRow]:
    """What is on hand, in the order products were registered."""
    wanted = (
        (TABLE.c.company_id, company_id),
        (TABLE.c.product_id, product_id),
        (TABLE.c.warehouse_id, warehouse_id),
    )
    product = (PRODUCTS.c.company_id == TABLE.c.company_id) & (PRODUCTS.c.product_id == TABLE.c.product_id)
    question = (
        select(TABLE, PRODUCTS.c.sku, PRODUCTS.c.name, PRODUCTS.c.unit)
        .outerjoin(PRODUCTS, product)
        .where(*equal(*wanted), *beyond(_ORDER, after))
    )
    found = await connection.execute(question.order_by(*_ORDER).limit(limit))
    return [_row(row) for row in found]


def average_cost(value_minor: int, on_hand: Decimal) -> Decimal | None:
    """What one unit cost, to ten decimals; nothing on hand has no cost."""
    if on_hand <= 0:
        return None
    return _EXACT.divide(Decimal(value_minor), on_hand * _MINOR_PER_UNIT).quantize(_COST_STEP, context=_EXACT)


def _row(row: Row[Any]) -> StockLevelRow:
    return StockLevelRow(
        product_id=row.product_id,
        warehouse_id=row.warehouse_id,
        sku=row.sku,
        name=row.name,
        unit=row.unit,
        on_hand=row.on_hand,
        value=Amount(row.value_minor, row.currency),
        average_cost=average_cost(row.value_minor, row.on_hand),
        moved_on=row.moved_on,
    )
