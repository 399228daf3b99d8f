"""Bank and cash accounts with what is in them: from Redis when it is fresh, else the same from SQL."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, Integer, Row, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.cache import Built, Views
from read_model.database import read_table
from read_model.row import Amount, BankAccountId

TABLE = read_table(
    "treasury_bank_accounts",
    Column("bank_account_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("account_kind", Text, nullable=False),
    Column("bank_code", Text),
    Column("ledger_account", Text, nullable=False),
    Column("opened_on", Date, nullable=False),
    Column("balance_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("version", Integer, nullable=False),
)
VIEW = "treasury_bank_balances"
"""The Redis projection. Its view is the company's id; of each account it has these fields."""

CURRENCY_BEFORE_MONEY = "BRL"
"""An account has shown no currency before the first amount; then it has that of the amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccountRow:
    """One account. `kind` is `cash`, `checking`, `savings` or `payment`; negative when overdrawn."""

    id: BankAccountId
    name: str
    kind: str
    bank_code: str | None
    ledger_account: str
    opened_on: date
    balance: Amount
    version: int


async def bank_accounts(connection: AsyncConnection, company_id: UUID) -> Sequence[BankAccountRow]:
    """Every account of the company by name, from SQL."""
    question = select(TABLE).where(TABLE.c.company_id == company_id)
    return _by_name([_row(row) for row in await connection.execute(question)])


async def bank_accounts_cached(
    views: Views, partition: int, company_id: UUID, *, at_least: int
) -> Built[Sequence[BankAccountRow]] | None:
    """The same from Redis; None when Redis cannot say, or knows less than is wanted."""
    view = await views.read(VIEW, partition, str(company_id), at_least=at_least)
    if view is None:
        return None
    ids = [field.removeprefix("account:") for field in view.fields if field.startswith("account:")]
    try:
        rows = _by_name([_from_fields(view.fields, hexadecimal) for hexadecimal in ids])
    except (ValueError, KeyError, TypeError):
        return None  # somebody wrote into it; what it should say, SQL knows
    return Built(rows, VIEW, view.position, view.recorded_at)


async def bank_account(
    connection: AsyncConnection, company_id: UUID, bank_account_id: UUID
) -> BankAccountRow | None:
    """One account, or None."""
    question = select(TABLE).where(
        TABLE.c.company_id == company_id, TABLE.c.bank_account_id == bank_account_id
    )
    row = (await connection.execute(question)).one_or_none()
    return None if row is None else _row(row)


def account_field(bank_account_id: UUID) -> str:
    """The field that says what the account is."""
    return f"account:{bank_account_id.hex}"


def balance_field(bank_account_id: UUID) -> str:
    """The field that counts its centavos."""
    return f"balance:{bank_account_id.hex}"


def currency_field(bank_account_id: UUID) -> str:
    """The field that names its currency, once there was money."""
    return f"currency:{bank_account_id.hex}"


def version_field(bank_account_id: UUID) -> str:
    """The field that counts the account's own events."""
    return f"version:{bank_account_id.hex}"


def _from_fields(fields: Mapping[str, str], hexadecimal: str) -> BankAccountRow:
    account_id = UUID(hexadecimal)
    said: dict[str, Any] = json.loads(fields[account_field(account_id)])
    return BankAccountRow(
        id=account_id,
        name=said["name"],
        kind=said["account_kind"],
        bank_code=said["bank_code"],
        ledger_account=said["ledger_account"],
        opened_on=date.fromisoformat(said["opened_on"]),
        balance=Amount(
            int(fields.get(balance_field(account_id), "0")),
            fields.get(currency_field(account_id), CURRENCY_BEFORE_MONEY),
        ),
        version=int(fields[version_field(account_id)]),
    )


def _row(row: Row[Any]) -> BankAccountRow:
    return BankAccountRow(
        id=row.bank_account_id,
        name=row.name,
        kind=row.account_kind,
        bank_code=row.bank_code,
        ledger_account=row.ledger_account,
        opened_on=row.opened_on,
        balance=Amount(row.balance_minor, row.currency),
        version=row.version,
    )


def _by_name(rows: Sequence[BankAccountRow]) -> Sequence[BankAccountRow]:
    # Here and not in SQL: both sources must agree, whatever the collation of the database.
    return sorted(rows, key=lambda row: (row.name, row.id))
