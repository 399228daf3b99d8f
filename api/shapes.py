"""The shapes every answer shares: money, pages, and the point of the log an answer was read at."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Generic, TypeVar

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
    """Where in the log an answer stands, when that was recorded, and the two days that cut it."""

    position: int
    at: Instant | None
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


# --- the answers of commands, and problems: for the documentation; both are written without pydantic ---


class ResourceShape(Shape):
    """What a command acted on."""

    type: str
    id: str | None
    version: int
    url: str | None


class EventShape(Shape):
    """An event a command recorded."""

    id: str | None
    type: str
    schema_version: int
    position: int | None
    summary: str


class LinkShape(Shape):
    """Something that can be done next."""

    method: str
    href: str
    title: str | None = None


class CommandAnswer(Shape):
    """What a command is answered with."""

    command_id: str | None
    resource: ResourceShape
    events: list[EventShape]
    state: dict[str, Any]
    reverse: LinkShape | None = None
    warnings: list[str]
    dry_run: bool | None = None
    secret: str | None = Field(None, description="Of a webhook; shown by the commands that make one.")


class FieldErrorShape(Shape):
    """One field that cannot be taken."""

    pointer: str
    code: str
    message: str
    params: dict[str, str] | None = None


class ProblemShape(Shape):
    """RFC 9457: why a request was not done. Branch on `code`."""

    type: str
    title: str
    status: int
    code: str
    retryable: bool
    instance: str | None = None
    request_id: str | None = None
    params: dict[str, str] | None = None
    errors: list[FieldErrorShape] | None = None
    conflict: dict[str, int] | None = None
    actions: list[LinkShape] | None = None
