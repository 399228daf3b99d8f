"""The shapes every answer shares: money, pages, and the point of the log an answer was read at."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from write_model.values.money import Money

Row = TypeVar("Row")


class Shape(BaseModel):
    """A part of an answer: immutable, and built by our own code only."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MoneyShape(Shape):
    """An amount and its currency: `{"amount": "1234.50", "currency": "BRL"}`."""

    amount: str = Field(pattern=r"^-?[0-9]{1,15}\.[0-9]{2}$", examples=["1234.50"])
    currency: str = Field(pattern="^[A-Z]{3}$", examples=["BRL"])

    @staticmethod
    def of_minor(minor: int, currency: str = "BRL") -> "MoneyShape":
        """From whole centavos. Sums of a report may pass the cap of a single amount."""
        whole, cents = divmod(abs(minor), 100)
        return MoneyShape.model_construct(
            amount=f"{'-' if minor < 0 else ''}{whole}.{cents:02d}", currency=currency
        )

    @staticmethod
    def of(money: Money) -> "MoneyShape":
        """From the value the write model uses."""
        return MoneyShape.model_construct(amount=money.amount, currency=money.currency)


def _in_utc(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[datetime, PlainSerializer(_in_utc, return_type=str)]
"""A moment, written in UTC with `Z`; give it in UTC."""


class AsOf(Shape):
    """Where in the log an answer stands, and the two days that cut it, when asked for."""

    position: int
    at: Instant
    effective_to: date | None = None
    known_as_of: date | None = None


class PageMark(Shape):
    """Where a page stands in its list."""

    next_cursor: str | None
    prev_cursor: str | None = None
    has_more: bool
    limit: int


class Page(Shape, Generic[Row]):
    """One page of a list."""

    data: Sequence[Row]
    page: PageMark
    as_of: AsOf
