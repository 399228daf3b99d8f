"""The products of a company: what can be sold, at which list price."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Column, Date, Index, Integer, Numeric, Row, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.database import read_table
from read_model.row import ProductId
from read_model.selection import beyond, contains, equal

TABLE = read_table(
    "catalog_products",
    Column("product_id", Uuid, primary_key=True),
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("price", Numeric(22, 10)),
    Column("stock_controlled", Boolean, nullable=False),
    Column("category", Text),
    Column("external_ref", Text),
    Column("status", Text, nullable=False),
    Column("registered_on", Date, nullable=False),
    Column("discontinued_on", Date),
    Column("folded", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Index("catalog_products_sku", "company_id", "sku", "product_id"),
    Index("catalog_products_status", "company_id", "status", "sku", "product_id"),
    Index("catalog_products_category", "company_id", "category", "sku", "product_id"),
    Index("catalog_products_external_ref", "company_id", "external_ref"),
)
_ORDER = (TABLE.c.sku, TABLE.c.product_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRow:
    """One product. `status` is `active` or `discontinued`."""

    id: ProductId
    sku: str
    name: str
    unit: str
    price: Decimal | None
    stock_controlled: bool
    category: str | None
    external_ref: str | None
    status: str
    registered_on: date
    discontinued_on: date | None
    version: int


async def products(
    connection: AsyncConnection,
    company_id: UUID,
    *,
    status: str | None = None,
    category: str | None = None,
    sku: str | None = None,
    external_ref: str | None = None,
    q: str | None = None,
    after: tuple[Any, ...] | None = None,
    limit: int,
) -> Sequence[ProductRow]:
    """The products by SKU."""
    wanted = (
        (TABLE.c.company_id, company_id),
        (TABLE.c.status, status),
        (TABLE.c.category, category),
        (TABLE.c.sku, sku),
        (TABLE.c.external_ref, external_ref),
    )
    question = select(TABLE).where(*equal(*wanted), *contains(TABLE.c.folded, q), *beyond(_ORDER, after))
    found = await connection.execute(question.order_by(*_ORDER).limit(limit))
    return [_row(row) for row in found]


async def product(connection: AsyncConnection, company_id: UUID, product_id: UUID) -> ProductRow | None:
    """One product, or None."""
    question = select(TABLE).where(TABLE.c.company_id == company_id, TABLE.c.product_id == product_id)
    row = (await connection.execute(question)).one_or_none()
    return None if row is None else _row(row)


def _row(row: Row[Any]) -> ProductRow:
    return ProductRow(
        id=row.product_id,
        sku=row.sku,
        name=row.name,
        unit=row.unit,
        price=row.price,
        stock_controlled=row.stock_controlled,
        category=row.category,
        external_ref=row.external_ref,
        status=row.status,
        registered_on=row.registered_on,
        discontinued_on=row.discontinued_on,
        version=row.version,
    )
