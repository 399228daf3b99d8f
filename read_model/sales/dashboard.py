"""The dashboard of a company: sales and money by day and month, from Redis when fresh, else from SQL.

Both hold the same figures under the same names, each a count and an amount:

    sales/2026-11-23, sales/2026-11   confirmed sales by the day of confirmation; a cancellation takes back
    cost/2026-11                      what their goods cost us
    agreed/2026-11/pix                payments agreed when sales were confirmed, by method; never taken back
    received/2026-11, received        settlements by the day they were paid, less those reversed
    open                              what customers owe: titles, less settlements and cancellations
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import BigInteger, Column, Text, select
from sqlalchemy.ext.asyncio import AsyncConnection

from read_model.cache import Built, Views
from read_model.database import read_table
from read_model.row import Amount

TABLE = read_table(
    "sales_dashboard",
    Column("figure", Text, primary_key=True),
    Column("count", BigInteger, nullable=False, default=0),
    Column("amount_minor", BigInteger, nullable=False, default=0),
    Column("currency", Text, nullable=False, default="BRL"),
)
VIEW = "sales_dashboard_view"
"""The Redis projection. Its view is the company's id."""

METHODS = ("cash", "pix", "boleto", "credit_card", "debit_card", "voucher", "bank_transfer", "other")
CURRENCY_FIELD = "currency"
_DAYS_SHOWN = 31
_MONTHS_SHOWN = 12
_CURRENCY_BEFORE_MONEY = "BRL"


@dataclass(frozen=True, slots=True)
class Figure:
    """A count and an amount in centavos."""

    count: int = 0
    minor: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures by name, and the currency of all of them."""

    by_name: Mapping[str, Figure]
    currency: str

    def __getitem__(self, name: str) -> Figure:
        return self.by_name.get(name, Figure())

    def amount(self, name: str) -> Amount:
        """The amount of one figure."""
        return Amount(self[name].minor, self.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesOfDay:
    """What was sold on one day."""

    day: date
    count: int
    revenue: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesOfMonth:
    """What was sold in one month, what it cost us, and what was received in it for whatever sale."""

    month: str
    count: int
    revenue: Amount
    cost: Amount
    margin: Amount
    average_sale: Amount
    received: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodOfMonth:
    """What customers agreed to pay in this way, when their sales were confirmed in the month."""

    method: str
    count: int
    amount: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """The numbers people look at all day."""

    today: SalesOfDay
    this_month: SalesOfMonth
    days: tuple[SalesOfDay, ...]
    months: tuple[SalesOfMonth, ...]
    methods: tuple[MethodOfMonth, ...]
    open_receivables: Amount
    received_total: Amount


def dashboard(figures: Figures, today: date) -> Dashboard:
    """Arrange the figures as seen on a day: the last 31 days and 12 months, the latest last."""
    months = [_month(figures, month) for month in months_shown(today)]
    days = [_day(figures, day) for day in days_shown(today)]
    return Dashboard(
        today=days[-1],
        this_month=months[-1],
        days=tuple(days),
        months=tuple(months),
        methods=tuple(_method(figures, months[-1].month, method) for method in METHODS),
        open_receivables=figures.amount("open"),
        received_total=figures.amount("received"),
    )


async def figures(connection: AsyncConnection, company_id: UUID, today: date) -> Figures:
    """The figures of the days shown, from SQL."""
    wanted = figures_shown(today)
    question = select(TABLE).where(TABLE.c.company_id == company_id, TABLE.c.figure.in_(wanted))
    found = (await connection.execute(question)).all()
    by_name = {row.figure: Figure(row._mapping["count"], row.amount_minor) for row in found}
    return Figures(by_name, found[0].currency if found else _CURRENCY_BEFORE_MONEY)


async def figures_cached(
    views: Views, partition: int, company_id: UUID, today: date, *, at_least: int
) -> Built[Figures] | None:
    """The same from Redis; None when Redis cannot say, or knows less than is wanted."""
    wanted = figures_shown(today)
    fields = [CURRENCY_FIELD, *map(count_field, wanted), *map(amount_field, wanted)]
    view = await views.read(VIEW, partition, str(company_id), at_least=at_least, fields=fields)
    if view is None:
        return None
    said = view.fields
    try:
        by_name = {
            name: Figure(int(said.get(count_field(name), "0")), int(said.get(amount_field(name), "0")))
            for name in wanted
        }
    except ValueError:
        return None  # somebody wrote into it; what it should say, SQL knows
    found = Figures(by_name, said.get(CURRENCY_FIELD, _CURRENCY_BEFORE_MONEY))
    return Built(found, VIEW, view.position, view.recorded_at)


def count_field(figure: str) -> str:
    """Where Redis counts."""
    return f"{figure}#"


def amount_field(figure: str) -> str:
    """Where Redis adds up centavos."""
    return f"{figure}$"


def figures_shown(today: date) -> Sequence[str]:
    """The names of all figures a dashboard is made of."""
    months = list(months_shown(today))
    return [
        "open",
        "received",
        *(f"sales/{day}" for day in days_shown(today)),
        *(f"{kind}/{month}" for kind in ("sales", "cost", "received") for month in months),
        *(f"agreed/{months[-1]}/{method}" for method in METHODS),
    ]


def days_shown(today: date) -> Iterable[date]:
    """The last 31 days."""
    return (today - timedelta(days=back) for back in range(_DAYS_SHOWN - 1, -1, -1))


def months_shown(today: date) -> Iterable[str]:
    """The last 12 months."""
    last = today.year * 12 + today.month - 1
    return (f"{at // 12:04d}-{at % 12 + 1:02d}" for at in range(last - _MONTHS_SHOWN + 1, last + 1))


def _day(figures: Figures, day: date) -> SalesOfDay:
    figure = f"sales/{day}"
    return SalesOfDay(day=day, count=figures[figure].count, revenue=figures.amount(figure))


def _month(figures: Figures, month: str) -> SalesOfMonth:
    sold, cost = figures[f"sales/{month}"], figures[f"cost/{month}"]
    average = (2 * sold.minor + sold.count) // (2 * sold.count) if sold.count else 0
    return SalesOfMonth(
        month=month,
        count=sold.count,
        revenue=figures.amount(f"sales/{month}"),
        cost=figures.amount(f"cost/{month}"),
        margin=Amount(sold.minor - cost.minor, figures.currency),
        average_sale=Amount(average, figures.currency),
        received=figures.amount(f"received/{month}"),
    )


def _method(figures: Figures, month: str, method: str) -> MethodOfMonth:
    figure = f"agreed/{month}/{method}"
    return MethodOfMonth(method=method, count=figures[figure].count, amount=figures.amount(figure))
