"""The query parameters that lists have in common: identifiers, spans of days, choices, and the two axes.

Whatever cannot be read is refused with `filter-invalid` and the name of the parameter; an identifier in a
path that cannot be read names nothing that exists, which is `not-found`.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from api.auth import Caller, authenticate, zone
from api.problems import Problem
from read_model.known import NOW, KnownAsOf
from read_model.selection import Days
from write_model.values.dates import parse_date
from write_model.values.identifiers import decode
from write_model.values.invalid import Invalid

TEXT_MAX = 200
_ONE_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_POSITION = re.compile(r"[0-9]{1,18}", re.ASCII)
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


class Identifier:
    """An identifier with this prefix, read into the UUID it stands for."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(lambda text: decode(self.prefix, text))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        pattern = f"^{self.prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$"
        return {
            "type": "string",
            "pattern": pattern,
            "examples": [f"{self.prefix}_01JDCE8Z0M9T3VX4K7QAWB2R5N"],
        }


ProductKey = Annotated[UUID, Identifier("prd")]
PartyKey = Annotated[UUID, Identifier("pty")]
WarehouseKey = Annotated[UUID, Identifier("whs")]
SaleKey = Annotated[UUID, Identifier("sal")]
ReceivableKey = Annotated[UUID, Identifier("rcv")]
InstalmentKey = Annotated[UUID, Identifier("ins")]
SettlementKey = Annotated[UUID, Identifier("set")]
BankAccountKey = Annotated[UUID, Identifier("bnk")]
EntryKey = Annotated[UUID, Identifier("led")]
EventKey = Annotated[UUID, Identifier("evt")]
CommandKey = Annotated[UUID, Identifier("cmd")]
WebhookKey = Annotated[UUID, Identifier("whk")]
WebhookDeliveryKey = Annotated[UUID, Identifier("whd")]

Text = Annotated[str, Query(min_length=1, max_length=TEXT_MAX, pattern=r"^[^\x00]*$")]
"""Text a row is compared with."""


def refused(parameter: str) -> Problem:
    """The 400 for a parameter that cannot be read."""
    return Problem("filter-invalid", params={"parameter": parameter})


def day(parameter: str, text: str) -> date:
    """One day, `YYYY-MM-DD`."""
    try:
        return parse_date(text)
    except Invalid:
        raise refused(parameter) from None


def found(row: Any) -> Any:
    """The row, or 404."""
    if row is None:
        raise Problem("not-found")
    return row


def days(name: str) -> Callable[..., Awaitable[Days]]:
    """The parameters `name`, `name[gte]`, `name[gt]`, `name[lte]`, `name[lt]`: a day, or a span of days."""

    async def read(
        on: Annotated[str | None, Query(alias=name, description="On this day, YYYY-MM-DD.")] = None,
        gte: Annotated[str | None, Query(alias=f"{name}[gte]", description="From this day.")] = None,
        gt: Annotated[str | None, Query(alias=f"{name}[gt]", description="After this day.")] = None,
        lte: Annotated[str | None, Query(alias=f"{name}[lte]", description="Up to this day.")] = None,
        lt: Annotated[str | None, Query(alias=f"{name}[lt]", description="Before this day.")] = None,
    ) -> Days:
        firsts = [day(name, text) for text in (on, gte) if text is not None]
        firsts += [day(name, gt) + _ONE_DAY] if gt is not None else []
        ends = [day(name, text) + _ONE_DAY for text in (on, lte) if text is not None]
        ends += [day(name, lt)] if lt is not None else []
        return Days(max(firsts, default=None), min(ends, default=None))

    return read


def choices(parameter: str, text: str | None, known: frozenset[str]) -> tuple[str, ...]:
    """Values with commas between them, each one of those known; nothing given is no value."""
    if text is None:
        return ()
    given = tuple(dict.fromkeys(text.split(",")))
    if not known.issuperset(given):
        raise Problem("filter-invalid", params={"parameter": parameter, "known": ",".join(sorted(known))})
    return given


@dataclass(frozen=True, slots=True)
class Axes:
    """Up to which day facts count, and up to where in the log; the texts are as they were given."""

    effective_to: date | None
    known: KnownAsOf
    known_as_of: str | None


async def axes(
    request: Request,
    effective_to: Annotated[str | None, Query(description="Facts up to this day, YYYY-MM-DD.")] = None,
    known_as_of: Annotated[
        str | None,
        Query(description="As known then: an RFC 3339 instant, the end of a day, or a position of the log."),
    ] = None,
    as_of: Annotated[str | None, Query(description="Short for both, by day.")] = None,
) -> Axes:
    """Read both axes of time."""
    if as_of is not None:
        if effective_to is not None or known_as_of is not None:
            raise Problem("filter-repeated", params={"parameter": "as_of"})
        effective_to = known_as_of = day("as_of", as_of).isoformat()
    return Axes(
        None if effective_to is None else day("effective_to", effective_to),
        known_of(known_as_of, await authenticate(request)),
        known_as_of,
    )


def known_of(text: str | None, caller: Caller) -> KnownAsOf:
    """A position, an instant, or the end of a day in the company's zone."""
    if text is None:
        return NOW
    if _POSITION.fullmatch(text):
        return KnownAsOf(position=int(text))
    if "T" in text:
        return KnownAsOf(moment=instant("known_as_of", text))
    following = day("known_as_of", text) + _ONE_DAY
    midnight = datetime(following.year, following.month, following.day, tzinfo=zone(caller.time_zone))
    return KnownAsOf(moment=midnight.astimezone(UTC) - _INSTANT)


def instant(parameter: str, text: str) -> datetime:
    """One RFC 3339 instant with its offset."""
    # A plus sign in a query string is a space to whoever decodes it.
    given = text.replace(" ", "+")
    if not _MOMENT.fullmatch(given):
        raise refused(parameter)
    try:
        return datetime.fromisoformat(given).astimezone(UTC)
    except (ValueError, OverflowError):
        raise refused(parameter) from None


_CODE = re.compile(r"[\w.-]{1,60}", re.ASCII)
_DOCUMENTS = ("sal", "set", "bnk")


def choices_of_codes(parameter: str, one: str | None, several: str | None) -> tuple[str, ...]:
    """Account codes: from `account`, from `account[in]`, or none."""
    given = [*([] if one is None else [one]), *([] if several is None else several.split(","))]
    if not all(_CODE.fullmatch(code) for code in given):
        raise refused(parameter)
    return tuple(dict.fromkeys(given))


async def document(
    document_id: Annotated[
        str | None,
        Query(description="A sale, a settlement, a bank account, or the UUID of another document."),
    ] = None,
) -> UUID | None:
    """The document something is about, whatever its kind."""
    if document_id is None:
        return None
    prefix, separator, _ = document_id.partition("_")
    try:
        return decode(prefix, document_id) if separator and prefix in _DOCUMENTS else UUID(document_id)
    except ValueError:
        raise refused("document_id") from None
